//! Silences: named after their parts, gone when they expire, never paged.

use http::StatusCode;
use serde_json::Value;

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    generic,
    json::{self, Object, text},
    kinds,
    reply::{self, Failure},
    route::Target,
};
use base64::Engine;

const ROOT: &str = "/sensu.io/silenced/";

/// The longest silence, which is also what one without an expiry gets.
pub(super) const LONGEST_SECONDS: i64 = 86_400;

/// What is said to a longer one.
pub(super) const TOO_LONG: &str = "Threshold reached: silenced crossed maximum duration allowed";

/// Sets what Sensu computes.
pub(super) fn complete(silence: &mut Object, user: &str, now: i64) -> Result<(), Failure> {
    let half = |key: &str| Some(text(silence, &[key])).filter(|t| !t.is_empty()).unwrap_or("*").to_owned();
    let name = format!("{}:{}", half("subscription"), half("check"));
    json::set_meta(silence, "name", &name);
    json::set_meta(silence, "created_by", user);
    silence.insert("creator".into(), user.into());
    let begin = match json::int(silence, "begin") {
        0 => now,
        begin => begin,
    };
    let expire = json::int(silence, "expire");
    if expire > LONGEST_SECONDS {
        return Err(Failure::router(0, TOO_LONG));
    }
    let lasts = if expire <= 0 { LONGEST_SECONDS } else { expire };
    silence.insert("begin".into(), begin.into());
    silence.insert("expire_at".into(), (begin.saturating_add(lasts)).into());
    Ok(())
}

// === impl Context ===

impl Context<'_> {
    /// Silences whose time is over are gone.
    pub(super) fn expire_silences(&mut self) {
        let over = |silence: &Object| json::int(silence, "expire_at") <= self.now;
        let store = &self.state.store;
        let keys: Vec<String> = store
            .keys(ROOT)
            .filter(|key| store.object(key).is_some_and(over))
            .map(ToOwned::to_owned)
            .collect();
        for key in keys {
            self.state.store.remove(&key);
        }
    }

    pub(super) fn silence_route(&mut self, target: &Target) -> Outcome {
        let method = self.call.method.as_str();
        match target {
            Target::Silences(Some(ns)) if method == "POST" => self.write_silence(&decode(ns), None),
            Target::Silences(ns) => {
                let prefix =
                    ns.as_ref().map_or_else(|| ROOT.to_owned(), |ns| format!("{ROOT}{}/", decode(ns)));
                let answer = self.list_silences(&prefix, |_| true)?;
                // The caller's own cursor comes back.
                let after = self.call.after();
                Ok(reply::continued(answer, (!after.is_empty()).then(|| CURSOR.encode(after))))
            }
            Target::SilencesBySubscription(ns, name) => {
                self.list_silences(&format!("{ROOT}{}/{name}", decode(ns)), |_| true)
            }
            Target::SilencesByCheck(ns, name) => {
                let prefix =
                    ns.as_ref().map_or_else(|| ROOT.to_owned(), |ns| format!("{ROOT}{}/", decode(ns)));
                self.list_silences(&prefix, |silence| text(silence, &["check"]) == name)
            }
            Target::Silence(ns, name) => {
                let (ns, name) = (decode(ns), decode(name));
                let key = generic::key("silenced", Some(&ns), &name);
                match method {
                    "GET" => {
                        let missing = || Failure::router(2, "silenced entry not found");
                        let silence = self.state.store.object(&key).ok_or_else(missing)?;
                        let body = kinds::SILENCED.encode(silence);
                        let etag = reply::etag(&body);
                        Ok(reply::tagged(body, &etag))
                    }
                    "PUT" => self.write_silence(&ns, Some(&name)),
                    _ if self.state.store.remove(&key) => Ok(reply::done(StatusCode::NO_CONTENT)),
                    _ => Err(Failure::not_found()),
                }
            }
            _ => Err(Failure::not_found()),
        }
    }

    fn list_silences(&self, prefix: &str, wanted: impl Fn(&Object) -> bool) -> Outcome {
        let all = self.state.store.objects(prefix).map_err(|e| Failure::router(0, e))?;
        let shown = all.into_iter().filter(|s| wanted(s)).map(|s| kinds::SILENCED.encode(s));
        Ok(reply::ok(generic::array(shown)))
    }

    fn write_silence(&mut self, namespace: &str, name: Option<&str>) -> Outcome {
        let body = self.call.json(1)?;
        let mut silence = kinds::SILENCED.decode(&body).map_err(|e| Failure::router(1, e))?;
        generic::check_meta(&silence, Some(namespace), name)?;
        let empty = |key: &str| silence.get(key).and_then(Value::as_str).is_none_or(str::is_empty);
        if empty("check") && empty("subscription") {
            return Err(Failure::router(1, "must provide check or subscription"));
        }
        complete(&mut silence, &self.user.name, self.now)?;
        self.require_namespace(namespace)?;
        let key = generic::key("silenced", Some(namespace), text(&silence, &["metadata", "name"]));
        if name.is_none() && self.state.store.contains(&key) {
            return Err(Failure::router(3, "resource already exists"));
        }
        self.state.store.put(&key, silence);
        Ok(reply::done(StatusCode::CREATED))
    }
}
