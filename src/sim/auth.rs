//! Login, refresh, logout, and who a request is from.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{StatusCode, header};
use serde_json::Value;

use super::{
    Inner, Outcome, State,
    call::Call,
    json::{self, Reader, text},
    rbac::User,
    reply::{self, Failure, Reply},
    route::Target,
    token::{self, Claims},
};

const ACCESS_SECONDS: i64 = 300;
const REFRESH_SECONDS: i64 = 43_200;
const SESSION_SECONDS: i64 = 360;
const OIDC: &str = "/api/enterprise/authentication/v2/oidc/token";

/// What the refresh middleware leaves for the handlers of `/auth*`.
enum Credentials {
    Basic(Option<(String, String)>),
    Pair(Claims, Claims),
}

fn unauthorized(text: &str) -> Failure {
    Failure::Text(StatusCode::UNAUTHORIZED, text.into())
}

fn bad_request(text: impl Into<String>) -> Failure {
    Failure::Text(StatusCode::BAD_REQUEST, text.into())
}

// === impl Inner ===

impl Inner {
    fn verify(&self, token: &str, expired_too: bool) -> Option<Claims> {
        token::verify(token, &self.keys, &self.secret, self.clock.now(), expired_too)
    }

    /// Who a core request is from; `None` without a usable scheme.
    pub(super) fn authenticate(&self, state: &State, call: &Call) -> Result<Option<User>, Failure> {
        let header = call.header(header::AUTHORIZATION);
        let invalid = || Failure::Middleware(5, "invalid credentials");
        if let Some(token) = header.strip_prefix("Bearer ") {
            let claims = self.verify(token, false).ok_or_else(invalid)?;
            return Ok(Some(User { name: claims.subject, groups: claims.groups }));
        }
        let Some(key) = header.strip_prefix("Key ") else { return Ok(None) };
        let key = state.store.object(&format!("/sensu.io/apikeys/{key}")).ok_or_else(invalid)?;
        let name = text(key, &["username"]);
        let user = state.store.object(&format!("/sensu.io/users/{name}")).ok_or_else(invalid)?;
        let groups = json::strings(user, "groups").map(ToOwned::to_owned).collect();
        Ok(Some(User { name: name.to_owned(), groups }))
    }

    /// Any `/auth*` route.
    pub(super) fn auth_route(&self, state: &mut State, call: &Call, target: &Target) -> Outcome {
        let credentials = match self.credentials(call)? {
            Ok(credentials) => credentials,
            Err(redirect) => return Ok(redirect),
        };
        if let Some(wait) = state.startup_wait {
            return Ok(reply::unavailable(wait));
        }
        match (target, credentials) {
            (Target::TestCredentials, Credentials::Basic(login)) => check_password(state, login)
                .map(|_| reply::empty(StatusCode::OK))
                .ok_or_else(|| unauthorized("Request unauthorized")),
            (Target::Login, Credentials::Basic(login)) => {
                let user = check_password(state, login).ok_or_else(|| unauthorized("Unauthorized"))?;
                Ok(self.issue(state, call, &user, &random_id()))
            }
            (Target::Refresh, Credentials::Pair(access, refresh)) => {
                self.refresh(state, call, &access, &refresh)
            }
            (Target::Refresh, Credentials::Basic(_)) => Err(bad_request("invalid access token")),
            (Target::Logout, Credentials::Pair(access, _)) => {
                state.sessions.remove(&(access.subject, access.session));
                Ok(reply::empty(StatusCode::OK))
            }
            (Target::Logout, Credentials::Basic(_)) => {
                Err(Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into()))
            }
            _ => Err(unauthorized("Request unauthorized")),
        }
    }

    /// The middleware in front of all `/auth*` routes: Basic passes, Bearer must come with a refresh token.
    fn credentials(&self, call: &Call) -> Result<Result<Credentials, Reply>, Failure> {
        let header = call.header(header::AUTHORIZATION);
        let refused = || unauthorized("Request unauthorized");
        if let Some(basic) = header.strip_prefix("Basic ") {
            return Ok(Ok(Credentials::Basic(basic_login(basic))));
        }
        let token = header.strip_prefix("Bearer ").ok_or_else(refused)?;
        let access = self.verify(token, true).ok_or_else(refused)?;
        if access.provider_type == "oidc" {
            let html = format!("<a href=\"{OIDC}\">Temporary Redirect</a>.\n\n");
            let mut answer = reply::empty(StatusCode::TEMPORARY_REDIRECT);
            if call.method == "GET" {
                answer = reply::plain(StatusCode::TEMPORARY_REDIRECT, html);
                let value = header::HeaderValue::from_static("text/html; charset=utf-8");
                answer.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            return Ok(Err(reply::located(answer, OIDC)));
        }
        let body = json::parse(&call.body, Reader::Stream).map_err(bad_request)?;
        let body = match &body {
            Value::Object(body) => body,
            other => {
                let word = json::type_word(other);
                return Err(bad_request(format!(
                    "json: cannot unmarshal {word} into Go value of type v2.Tokens"
                )));
            }
        };
        let refresh = self.verify(text(body, &["refresh_token"]), false).ok_or_else(refused)?;
        if access.subject.is_empty() || access.subject != refresh.subject {
            return Err(refused());
        }
        Ok(Ok(Credentials::Pair(access, refresh)))
    }

    fn refresh(&self, state: &mut State, call: &Call, access: &Claims, refresh: &Claims) -> Outcome {
        let session = (refresh.subject.clone(), refresh.session.clone());
        let stored = state.sessions.get(&session).filter(|(_, ends)| *ends > self.clock.now());
        let Some((good, _)) = stored else { return Err(unauthorized("Unauthorized")) };
        if *good != refresh.id {
            state.sessions.remove(&session);
            return Err(bad_request("invalid access token"));
        }
        let user = state.store.object(&format!("/sensu.io/users/{}", refresh.subject));
        if user.is_none_or(|u| u.get("disabled") == Some(&Value::Bool(true))) {
            return Err(unauthorized("Unauthorized"));
        }
        // The session that is renewed is the refresh token's, but the new pair names the access token's.
        let answer = self.issue(state, call, &refresh.subject, &access.session);
        if access.session != refresh.session
            && let Some(renewed) = state.sessions.remove(&(refresh.subject.clone(), access.session.clone()))
        {
            state.sessions.insert(session, renewed);
        }
        Ok(answer)
    }

    /// Signs a pair for a user and remembers the session.
    fn issue(&self, state: &mut State, call: &Call, user: &str, session: &str) -> Reply {
        let now = self.clock.now();
        let refresh_id = random_id();
        let ends = now + SESSION_SECONDS;
        state.sessions.retain(|_, (_, ends)| *ends > now);
        state.sessions.insert((user.to_owned(), session.to_owned()), (refresh_id.clone(), ends));
        let record = state.store.object(&format!("/sensu.io/users/{user}"));
        let mut groups: Vec<&str> = record.map(|r| json::strings(r, "groups").collect()).unwrap_or_default();
        groups.push("system:users");
        let (user, session) = (Value::from(user), Value::from(session));
        let expires = now + ACCESS_SECONDS;
        let access = format!(
            r#"{{"exp":{expires},"jti":"{}","iss":{},"sub":{user},"groups":{},"provider":{{"provider_id":"basic","provider_type":"","user_id":{user}}},"api_key":false,"session_id":{session}}}"#,
            random_id(),
            Value::from(format!("{}://{}", if self.tls { "https" } else { "http" }, call.host)),
            Value::from(groups),
        );
        let refresh = format!(
            r#"{{"exp":{},"jti":"{refresh_id}","iat":{now},"sub":{user},"groups":null,"provider":{{"provider_id":"","provider_type":"","user_id":""}},"api_key":false,"session_id":{session}}}"#,
            now + REFRESH_SECONDS,
        );
        let sign = |claims: &str| self.keys.mint_raw(r#"{"alg":"ES256","typ":"JWT"}"#, claims);
        reply::ok(format!(
            "{{\"access_token\":\"{}\",\"expires_at\":{expires},\"refresh_token\":\"{}\"}}\n",
            sign(&access),
            sign(&refresh)
        ))
    }
}

fn basic_login(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The user's name when the password is right and the user is not disabled.
fn check_password(state: &State, login: Option<(String, String)>) -> Option<String> {
    let (name, password) = login?;
    let user = state.store.object(&format!("/sensu.io/users/{name}"))?;
    let stored = text(user, &["password"]);
    let enabled = user.get("disabled") != Some(&Value::Bool(true));
    (enabled && !stored.is_empty() && stored == password).then_some(name)
}

fn random_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
