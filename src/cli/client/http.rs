//! Requests to the gateway as the user.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;

use super::{
    answer::Answer,
    base::Base,
    manners::USER_AGENT,
    options::{Credential, Settings},
    progress::Progress,
    saved::{SavedFiles, Tokens},
    server::Server,
    time::now,
    value::{list, text},
};
use crate::{
    cli::{CONFIG, Failure, REFUSED, UNAVAILABLE, environment, output::note},
    wire::{ReadError, read_limited},
};

/// A connection to a gateway, or to a Sensu backend, with the user's credential.
pub(super) struct Gateway {
    server: Server,
    base: Base,
    timeout: Duration,
    auth: Mutex<Auth>,
    progress: Progress,
}

/// A user as the token names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The user.
    pub(super) user: String,
    /// Their groups.
    pub(super) groups: Vec<String>,
}

#[derive(Clone)]
enum Auth {
    Key(String),
    Tokens(Session),
}

#[derive(Clone)]
struct Session {
    tokens: Tokens,
    /// Path prefix of the API that issued them and can renew them.
    prefix: String,
    /// Where they are kept; those of `--user` are not.
    files: Option<SavedFiles>,
}

// === impl Gateway ===

impl Gateway {
    /// Prepares the connection, and logs in when a user was named.
    pub(super) async fn open(settings: Settings) -> Result<Self, Failure> {
        let server = Server::prepare(&settings.base, &settings.tls, settings.timeout, &environment()).await?;
        let Settings { base, timeout, credential, .. } = settings;
        let progress = Progress::new(&base);
        let prefix = base.prefix.clone();
        let gateway = |auth| Self { server, base, timeout, auth: Mutex::new(auth), progress };
        Ok(match credential {
            Credential::Key(key) => gateway(Auth::Key(key)),
            Credential::Saved { tokens, files, base } => {
                gateway(Auth::Tokens(Session { tokens, prefix: base.prefix, files: Some(files) }))
            }
            Credential::User { name, password } => {
                let password = password.of(&name)?;
                let gateway = gateway(Auth::Key(String::new()));
                let tokens = gateway.log_in(&name, &password).await?;
                let session = Session { tokens, prefix, files: None };
                gateway.set_auth(Auth::Tokens(session));
                gateway
            }
        })
    }

    /// The URL.
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// What a user at a terminal is told meanwhile.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whose token is used. Whose key it is, only the server knows.
    pub(super) fn caller(&self) -> Option<Caller> {
        match self.auth() {
            Auth::Key(_) => None,
            Auth::Tokens(session) => Caller::of_token(&session.tokens.access),
        }
    }

    /// Reads, and refuses an answer that is an error.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, None).await?.success()
    }

    /// Creates or replaces, and refuses an answer that is an error.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::PUT, path, Some(body), None).await?.success()
    }

    /// Adds, and refuses an answer that is an error.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body), None).await?.success()
    }

    /// The tokens in use, renewed when they have expired; none with a key.
    pub(super) async fn tokens(&self) -> Result<Option<Tokens>, Failure> {
        Ok(match self.current_auth().await? {
            Auth::Key(_) => None,
            Auth::Tokens(session) => Some(session.tokens),
        })
    }

    /// Whether the server takes this password of this user.
    pub(super) async fn takes(&self, user: &str, password: &str) -> Result<bool, Failure> {
        let basic = format!("Basic {}", encode_basic(user, password));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, sensitive(&basic)?)]);
        let path = format!("{}/auth/test", self.base.prefix);
        let answer = self.exchange(Method::GET, &path, headers, Bytes::new()).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        answer.success().map(|_| true)
    }

    /// Deletes, and refuses an answer that is an error.
    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, None, None).await?.success()
    }

    /// Changes what a merge patch mentions.
    pub(super) async fn patch(
        &self,
        path: &str,
        change: &Value,
        if_match: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        self.send(Method::PATCH, path, Some(change), if_match).await
    }

    /// Sends a request with the user's credential. An expired token is renewed first; one that is refused is renewed
    /// and sent once more.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(tag) = if_match {
            headers.insert(header::IF_MATCH, tag.clone());
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let path = format!("{}{path}", self.base.prefix);
        let auth = self.current_auth().await?;
        headers.insert(header::AUTHORIZATION, auth.header()?);
        let answer = self.exchange(method.clone(), &path, headers.clone(), body.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let answer = match auth {
            Auth::Tokens(session) if !session.tokens.refresh.is_empty() => {
                let renewed = self.renew(session).await?;
                headers.insert(header::AUTHORIZATION, Auth::Tokens(renewed).header()?);
                self.exchange(method, &path, headers, body).await?
            }
            Auth::Key(_) => {
                let line = format!("{}: give another --api-key, or --user", answer.message());
                return Err(Failure::new(REFUSED, line));
            }
            Auth::Tokens(_) => answer,
        };
        if answer.status == StatusCode::UNAUTHORIZED { Err(answer.failure()) } else { Ok(answer) }
    }

    /// One request, without any credential of its own.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        for (name, value) in FIXED_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if method == Method::PATCH {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/merge-patch+json"));
        }
        let host = HeaderValue::from_str(self.base.host()).map_err(|error| Failure::new(1, error))?;
        headers.insert(header::HOST, host);
        let mut request = Request::builder().method(method.clone()).uri(path).body(body);
        if let Ok(request) = &mut request {
            *request.headers_mut() = headers;
        }
        let request = request.map_err(|error| Failure::new(1, format!("cannot ask for {path}: {error}")))?;
        let exchange = async {
            let response = self.server.send(request).await?;
            let (head, body) = response.into_parts();
            let body = read_limited(body, MAX_BODY).await.map_err(|error| match error {
                ReadError::TooLarge { .. } => {
                    Failure::new(1, "the answer is larger than 1 GiB: ask for less with --chunk-size")
                }
                ReadError::Broken(_) => {
                    Failure::new(UNAVAILABLE, format!("the answer of {} broke off: try again", self.base))
                }
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        self.progress.during(exchange).await
    }

    async fn log_in(&self, user: &str, password: &str) -> Result<Tokens, Failure> {
        let basic = format!("Basic {}", encode_basic(user, password));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, sensitive(&basic)?)]);
        let path = format!("{}/auth", self.base.prefix);
        let answer = self.exchange(Method::GET, &path, headers, Bytes::new()).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Failure::new(
                REFUSED,
                format!("{} refuses user {user:?} or the password", self.base),
            ));
        }
        let answer = answer.success().map_err(|failure| {
            let is_elsewhere = failure.line == "not found";
            let mut failure = failure.with_context(&format!("cannot log in to {}", self.base));
            if is_elsewhere {
                failure.line.push_str(": is it the API's URL?");
            }
            failure
        })?;
        answer.tokens().ok_or_else(|| {
            Failure::new(UNAVAILABLE, format!("{}/auth answered no tokens: is it the API's URL?", self.base))
        })
    }

    /// The credential to send, renewed when it has expired.
    async fn current_auth(&self) -> Result<Auth, Failure> {
        match self.auth() {
            Auth::Tokens(session) if session.tokens.expires_at <= now() + MARGIN => {
                if session.tokens.refresh.is_empty() {
                    return Err(session_over());
                }
                Ok(Auth::Tokens(self.renew(session).await?))
            }
            auth => Ok(auth),
        }
    }

    /// Exchanges the refresh token for a new pair. It can be used once, and a second use ends the session: so tokens that
    /// another process has saved in the meantime are used instead.
    async fn renew(&self, mut session: Session) -> Result<Session, Failure> {
        let files = session.files.clone();
        let _lock = match &files {
            Some(files) => Some(files.lock(self.timeout).await),
            None => None,
        };
        if let Some(newer) = newer(files.as_ref(), &session.tokens) {
            session.tokens = newer;
            if session.tokens.expires_at > now() + MARGIN {
                return Ok(self.keep(session));
            }
        }
        let old = session.tokens.clone();
        let headers =
            HeaderMap::from_iter([(header::AUTHORIZATION, sensitive(&format!("Bearer {}", old.access))?)]);
        let body = Bytes::from(serde_json::json!({ "refresh_token": old.refresh }).to_string());
        let path = format!("{}/auth/token", session.prefix);
        let answer = self.exchange(Method::POST, &path, headers, body).await?;
        if !answer.status.is_success() {
            if let Some(newer) = newer(files.as_ref(), &old) {
                session.tokens = newer;
                return Ok(self.keep(session));
            }
            if answer.status.is_client_error() {
                return Err(session_over());
            }
            return Err(answer.failure());
        }
        let broken = || Failure::new(UNAVAILABLE, format!("{path} of {} answered no tokens", self.base));
        session.tokens = answer.tokens().ok_or_else(broken)?;
        if let Some(files) = files
            && let Err(error) = files.replace(&old, &session.tokens)
        {
            let file = files.cluster();
            note(format!(
                "the renewed login cannot be saved in {} ({error}): log in again with fedgate configure",
                file.display()
            ));
        }
        Ok(self.keep(session))
    }

    fn keep(&self, session: Session) -> Session {
        self.set_auth(Auth::Tokens(session.clone()));
        session
    }

    fn auth(&self) -> Auth {
        self.auth.lock().clone()
    }

    fn set_auth(&self, auth: Auth) {
        *self.auth.lock() = auth;
    }
}

/// Tokens that another process has saved since.
fn newer(files: Option<&SavedFiles>, current: &Tokens) -> Option<Tokens> {
    files?.tokens().ok().flatten().filter(|found| found != current)
}

fn session_over() -> Failure {
    Failure::new(REFUSED, "the saved login has expired: log in again with fedgate configure, or give --user")
}

fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::new(CONFIG, "the token or key contains characters that are not allowed in a header")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn encode_basic(user: &str, password: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(format!("{user}:{password}"))
}

// === impl Caller ===

impl Caller {
    /// From a token's claims, which only the server can verify.
    pub(super) fn of_token(token: &str) -> Option<Self> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(Self { user: text(&claims["sub"]), groups: list(&claims["groups"]).iter().map(text).collect() })
    }
}

// === impl Auth ===

impl Auth {
    fn header(&self) -> Result<HeaderValue, Failure> {
        match self {
            Self::Key(key) => sensitive(&format!("Key {key}")),
            Self::Tokens(session) => sensitive(&format!("Bearer {}", session.tokens.access)),
        }
    }
}

/// As Sensu's own client sends them. A body without a type would be read as a form.
const FIXED_HEADERS: [(HeaderName, &str); 3] = [
    (header::ACCEPT, "application/json"),
    (header::CONTENT_TYPE, "application/json"),
    (header::USER_AGENT, USER_AGENT),
];

/// Largest answer, in bytes.
const MAX_BODY: usize = 1 << 30;
/// Seconds before its end at which a token counts as expired: it still has to travel.
const MARGIN: i64 = 5;
