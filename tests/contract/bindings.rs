//! What stands for what: the recorded ids, cursors, entity tags and tokens, and their counterparts in this run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    compare::Difference,
    fixture::{Exchange, Response},
    http::Received,
    token,
};

/// Recorded → actual, collected along a replay.
#[derive(Clone, Default)]
pub(crate) struct Bindings {
    /// Placeholders as written (`<access:NAME>`, `<refresh:NAME>`, `<session_id:NAME>`).
    tokens: BTreeMap<String, String>,
    /// Ids chosen by the server.
    ids: BTreeMap<String, String>,
    cursors: BTreeMap<String, String>,
    etags: BTreeMap<String, String>,
}

// === impl Bindings ===

impl Bindings {
    /// Fills in tokens and ids.
    pub(crate) fn fill(&self, text: &str) -> String {
        let ids = text.contains(ID_PREFIX).then_some(&self.ids);
        let tokens = text.contains('<').then_some(&self.tokens);
        replace_all(text, ids.into_iter().chain(tokens))
    }

    /// Fills in a request path: tokens, ids, and cursors of an earlier page.
    pub(crate) fn fill_path(&self, path: &str) -> String {
        replace_all(&self.fill(path), [&self.cursors])
    }

    /// Fills in a request header; a condition names an entity tag of an earlier answer.
    pub(crate) fn fill_header(&self, name: &str, value: &str) -> String {
        let value = self.fill(value);
        if name.starts_with("If-") { replace_all(&value, [&self.etags]) } else { value }
    }

    /// Binds the pair placeholder `<KIND:NAME>` to a token, and the session it belongs to.
    pub(crate) fn bind_token(&mut self, placeholder: &str, token: &str) {
        self.tokens.insert(placeholder.to_owned(), token.to_owned());
        let name = placeholder.strip_prefix("<access:");
        let session = token::decode(token)
            .and_then(|parts| parts.pointer("/claims/session_id")?.as_str().map(str::to_owned));
        if let (Some(name), Some(session)) = (name, session) {
            // `name` still ends with the closing bracket.
            self.tokens.insert(format!("<session_id:{name}"), session);
        }
    }

    /// Takes from an answer what later exchanges refer to. An entity tag that is not stable per content, or does not
    /// change with the content, is a difference.
    pub(crate) fn learn(
        &mut self,
        exchange: &Exchange,
        recorded: &Response,
        actual: &Received,
    ) -> Vec<Difference> {
        self.learn_tokens(recorded, actual);
        let is_volatile =
            |name: &str| exchange.volatile.iter().any(|v| v.strip_prefix("header:") == Some(name));
        let both = |name: &str| Some((recorded.header(name)?, actual.header(name)?));
        if let Some((was, is)) = both("Location").filter(|_| is_volatile("Location"))
            && let (Some(was), Some(is)) = (id_in(was), id_in(is))
        {
            self.ids.insert(was.to_owned(), is.to_owned());
        }
        if let Some((was, is)) = both("Sensu-Continue").filter(|_| is_volatile("Sensu-Continue")) {
            self.cursors.insert(was.to_owned(), is.to_owned());
        }
        both("Etag").and_then(|(was, is)| self.learn_etag(was, is, is_volatile("Etag"))).into_iter().collect()
    }

    fn learn_tokens(&mut self, recorded: &Response, actual: &Received) {
        let Some(Value::Object(expected)) = &recorded.json else { return };
        let Ok(body) = serde_json::from_slice::<Value>(&actual.body) else { return };
        for (key, value) in expected {
            let placeholder =
                value.as_str().filter(|v| v.starts_with("<access:") || v.starts_with("<refresh:"));
            if let (Some(placeholder), Some(token)) = (placeholder, body[key].as_str()) {
                self.bind_token(placeholder, token);
            }
        }
    }

    fn learn_etag(&mut self, was: &str, is: &str, volatile: bool) -> Option<Difference> {
        if volatile {
            self.etags.insert(was.to_owned(), is.to_owned());
            return None;
        }
        if let Some((other, _)) =
            self.etags.iter().find(|(recorded, actual)| *actual == is && *recorded != was)
        {
            let expected = format!("another tag than for the content recorded with {other}");
            return Some(Difference::new("header Etag", expected, is));
        }
        match self.etags.insert(was.to_owned(), is.to_owned()) {
            Some(before) if before != is => {
                Some(Difference::new("header Etag", format!("{before}, as before for this content"), is))
            }
            _ => None,
        }
    }
}

/// Replaces every id by one and the same, to compare what is around them.
pub(crate) fn mask_ids(text: &str) -> String {
    let mut masked = text.to_owned();
    while let Some(id) = id_in(&masked).map(str::to_owned) {
        masked = masked.replace(&id, "<id>");
    }
    masked
}

fn id_in(text: &str) -> Option<&str> {
    (0..text.len()).filter_map(|at| text.get(at..at + ID_LENGTH)).find(|candidate| is_id(candidate))
}

fn is_id(text: &str) -> bool {
    text.char_indices().all(|(at, c)| match at {
        8 | 13 | 18 | 23 => c == '-',
        _ => c.is_ascii_hexdigit(),
    })
}

fn replace_all<'a>(text: &str, maps: impl IntoIterator<Item = &'a BTreeMap<String, String>>) -> String {
    let mut text = text.to_owned();
    for (from, to) in maps.into_iter().flatten() {
        if text.contains(from.as_str()) {
            text = text.replace(from.as_str(), to);
        }
    }
    text
}

const ID_PREFIX: &str = "00000000-0000-4000-8000-";
const ID_LENGTH: usize = 36;
