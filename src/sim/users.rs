//! Users: created, disabled rather than deleted, and their passwords and groups.

use base64::Engine;
use http::StatusCode;
use serde_json::Value;

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    generic,
    json::{Object, text},
    kinds,
    reply::{self, Failure},
    route::Target,
    store::{Page, Range},
};

const ROOT: &str = "/sensu.io/users/";
const SHORTEST_PASSWORD: usize = 8;

/// A user without its secrets.
fn show(user: &Object) -> String {
    let mut shown = user.clone();
    for secret in ["password", "password_hash"] {
        shown.insert(secret.into(), Value::Null);
    }
    kinds::USER.encode(&shown)
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn user_route(&mut self, target: &Target) -> Outcome {
        match (target, self.call.method.as_str()) {
            (Target::Users, "GET") => self.list_users(),
            (Target::Users, _) => self.write_user(None),
            (Target::User(name), "GET") => {
                let user = self.state.store.object(&key(name)).ok_or_else(Failure::not_found)?;
                let etag = reply::etag(&kinds::USER.encode(user));
                Ok(reply::tagged(show(user), &etag))
            }
            (Target::User(name), "PUT") => self.write_user(Some(name)),
            (Target::User(name), _) => {
                self.change(name, |user| drop(user.insert("disabled".into(), true.into())))?;
                Ok(reply::done(StatusCode::NO_CONTENT))
            }
            (Target::UserVerb(name, "reinstate"), _) => {
                self.change(name, |user| drop(user.insert("disabled".into(), false.into())))?;
                Ok(reply::done(StatusCode::CREATED))
            }
            (Target::UserVerb(name, verb), _) => self.set_password(name, verb),
            (Target::UserGroups(name), _) => {
                self.change(name, |user| drop(user.insert("groups".into(), Value::Null)))?;
                Ok(reply::done(StatusCode::NO_CONTENT))
            }
            (Target::UserGroup(name, group), "PUT") => self.set_group(name, &decode(group), true),
            (Target::UserGroup(name, group), _) => self.set_group(name, &decode(group), false),
            _ => Err(Failure::not_found()),
        }
    }

    fn list_users(&mut self) -> Outcome {
        let (limit, after) = (self.call.limit(), self.call.after());
        let range = Range { root: ROOT, prefix: ROOT, after: &after, limit };
        let Page { items, more } = self.state.store.page(&range).map_err(|key| generic::undecodable(&key))?;
        let cursor = match items.last() {
            Some((_, last)) if more || limit < 0 => {
                Some(CURSOR.encode(format!("{}\0", text(last, &["username"]))))
            }
            _ => None,
        };
        let body = generic::array(items.into_iter().map(|(_, user)| show(user)));
        Ok(reply::continued(reply::ok(body), cursor))
    }

    fn write_user(&mut self, url: Option<&str>) -> Outcome {
        let body = self.call.json(1)?;
        let invalid = |e: String| Failure::router(1, e);
        let user = kinds::USER.decode(&body).map_err(invalid)?;
        let name = text(&user, &["username"]);
        if let Some(url) = url.filter(|u| *u != name) {
            return Err(invalid(format!(
                "the username ({name}) does not match the username on the request ({url})"
            )));
        }
        kinds::username(name).map_err(|e| invalid(format!("username {e}")))?;
        let password = text(&user, &["password"]);
        if password.is_empty() && text(&user, &["password_hash"]).is_empty() {
            return Err(invalid("a password or its hash is required".into()));
        }
        if !password.is_empty() && password.len() < SHORTEST_PASSWORD {
            return Err(invalid("password length must be at least 8 characters".into()));
        }
        let key = format!("{ROOT}{name}");
        if url.is_none() && self.state.store.contains(&key) {
            return Err(Failure::router(3, "resource already exists"));
        }
        self.state.store.put(&key, user);
        Ok(reply::done(StatusCode::CREATED))
    }

    fn set_password(&mut self, name: &str, verb: &str) -> Outcome {
        let body = self.call.json(0)?;
        let body = body.as_object().cloned().unwrap_or_default();
        let user = self.state.store.object(&key(name)).ok_or_else(Failure::not_found)?;
        if verb != "reset_password" && text(user, &["password"]) != text(&body, &["password"]) {
            let text = format!("resource is invalid: wrong password for user {}", decode(name));
            return Err(Failure::router(0, text));
        }
        let new = text(&body, &["password_new"]).to_owned();
        let hash = text(&body, &["password_hash"]).to_owned();
        self.change(name, |user| {
            // A hash cannot be turned back into what the user will type: such a user cannot log in here.
            user.insert("password".into(), new.into());
            user.insert("password_hash".into(), hash.into());
        })?;
        Ok(reply::done(StatusCode::CREATED))
    }

    fn set_group(&mut self, name: &str, group: &str, member: bool) -> Outcome {
        self.change(name, |user| {
            let mut groups = user.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
            groups.retain(|g| g.as_str() != Some(group));
            if member {
                groups.push(group.into());
            }
            user.insert("groups".into(), Value::Array(groups));
        })?;
        Ok(reply::done(if member { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
    }

    fn change(&mut self, name: &str, with: impl FnOnce(&mut Object)) -> Result<(), Failure> {
        self.state.store.object_mut(&key(name)).map(with).ok_or_else(Failure::not_found)
    }
}

fn key(name: &str) -> String {
    generic::key("users", None, &decode(name))
}
