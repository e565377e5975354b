//! Answers of Sensu's form, `{"auth":…,"data":…,"errors":…}`: reading them, and writing the gateway's own.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Value as Json, json, value::RawValue};

use super::{error::describe, json_text::write_object, limits::Limit, plan::Plan};
use crate::types::{ClusterName, FailureClass};

/// A whole answer.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) data: Option<Data<'a>>,
    pub(super) errors: Option<Vec<&'a RawValue>>,
}

/// The root fields' values.
type Data<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// What is read of an answer.
#[derive(Debug, Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: RawData<'a>,
    #[serde(borrow, default)]
    errors: Option<Vec<&'a RawValue>>,
}

/// An answer that is merged from several.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    plan: &'a Plan,
    /// By root; `None` for one that is left out.
    values: Vec<Option<String>>,
    /// A field that may not be null has no cluster: all of it is null.
    null: bool,
    errors: Vec<String>,
    /// The member `extensions`.
    pub(super) extensions: Option<Json>,
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    /// Reads an object with data, or at least with errors.
    pub(super) fn read(answer: &'a [u8]) -> Result<Self, FailureClass> {
        let Raw { data, errors } = Raw::read(answer).ok_or(FailureClass::BadBody)?;
        let has_errors = errors.as_ref().is_some_and(|errors| !errors.is_empty());
        match data {
            RawData::Missing if !has_errors => Err(FailureClass::BadBody),
            RawData::Missing | RawData::Null => Ok(Self { data: None, errors }),
            RawData::Object(data) => Ok(Self { data: Some(data), errors }),
        }
    }
}

/// The member `data`.
#[derive(Debug, Default)]
enum RawData<'a> {
    #[default]
    Missing,
    Null,
    Object(Data<'a>),
}

// === impl Raw ===

impl<'a> Raw<'a> {
    fn read(answer: &'a [u8]) -> Option<Self> {
        // serde would take a list for an object whose members come in this order.
        if !trimmed(answer).starts_with(b"{") {
            return None;
        }
        serde_json::from_slice(answer).ok()
    }
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<RawData<'de>, D::Error> {
    Ok(Option::deserialize(from)?.map_or(RawData::Null, RawData::Object))
}

/// Whether this is what a GraphQL server answers: an object whose `data` is an object or null.
pub(super) fn is_answer(answer: &[u8]) -> bool {
    Raw::read(answer).is_some_and(|raw| !matches!(raw.data, RawData::Missing))
}

/// The same for its beginning, as far as that can be seen.
pub(super) fn may_be_answer(start: &[u8]) -> bool {
    let Some(mut rest) = trimmed(start).strip_prefix(b"{") else { return trimmed(start).is_empty() };
    loop {
        let (key, after) = match next::<Cow<'_, str>>(rest) {
            Next::Value(key, after) => (key, after),
            Next::Cut => return true,
            Next::Wrong => return false,
        };
        let Some(value) = trimmed(after).strip_prefix(b":") else { return trimmed(after).is_empty() };
        if key == "data" {
            return matches!(trimmed(value).first(), Some(b'{' | b'n') | None);
        }
        rest = match next::<IgnoredAny>(value) {
            Next::Value(_, after) => after,
            Next::Cut => return true,
            Next::Wrong => return false,
        };
        rest = match trimmed(rest).split_first() {
            Some((b',', rest)) => rest,
            // It ends without data.
            Some(_) => return false,
            None => return true,
        };
    }
}

/// The next value of a text that may be cut off anywhere.
enum Next<'a, T> {
    /// It, and what follows.
    Value(T, &'a [u8]),
    /// Nothing whole.
    Cut,
    /// No JSON, or not of that type.
    Wrong,
}

fn next<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Next<'a, T> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    match values.next() {
        Some(Ok(value)) => Next::Value(value, text.get(values.byte_offset()..).unwrap_or_default()),
        Some(Err(error)) if !error.is_eof() => Next::Wrong,
        _ => Next::Cut,
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

// === impl Merged ===

impl<'a> Merged<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, values: vec![None; plan.roots.len()], null: false, errors: Vec::new(), extensions: None }
    }

    /// Takes in what a cluster has answered to some root fields: one without data is null in these fields alone.
    ///
    /// # Errors
    /// When it is no answer, or null without an error that would say why.
    pub(super) fn answer(
        &mut self,
        roots: &[usize],
        answer: &[u8],
        mut edit: impl FnMut(&str, &RawValue) -> Option<String>,
    ) -> Result<(), FailureClass> {
        let envelope = Envelope::read(answer)?;
        let before = self.errors.len();
        self.errors.extend(envelope.errors.iter().flatten().map(|error| error.get().to_owned()));
        let Some(data) = envelope.data else {
            if self.errors.len() == before {
                return Err(FailureClass::BadBody);
            }
            for root in roots {
                self.set(*root, "null".to_owned());
            }
            return Ok(());
        };
        for root in roots {
            let key = &*self.plan.roots[*root].key;
            let value = data.get(key);
            self.values[*root] =
                value.map(|value| edit(key, value).unwrap_or_else(|| value.get().to_owned()));
        }
        Ok(())
    }

    /// Sets the value of a root field.
    pub(super) fn set(&mut self, root: usize, value: String) {
        self.values[root] = Some(value);
    }

    /// Nulls a root field, with an error if there is a message.
    pub(super) fn fail(&mut self, root: usize, message: Option<&str>, cluster: Option<&ClusterName>) {
        let field = &self.plan.roots[root];
        self.values[root] = Some("null".to_owned());
        self.null |= field.non_null;
        if let Some(message) = message {
            self.errors.push(error(message, Some(&field.key), cluster).to_string());
        }
    }

    /// Nulls the root fields that a failed cluster should have answered, and never what others have: a field that may not
    /// be null by the schema is null, too.
    pub(super) fn failed(&mut self, roots: &[usize], cluster: &ClusterName, failure: FailureClass) {
        let message = describe(cluster, failure);
        for root in roots {
            self.set(*root, "null".to_owned());
            self.errors.push(error(&message, Some(&self.plan.roots[*root].key), Some(cluster)).to_string());
        }
    }

    pub(super) fn error(&mut self, error: String) {
        self.errors.push(error);
    }

    /// The whole answer; root fields in the client's order.
    pub(super) fn write(self) -> Bytes {
        let size: usize = self.values.iter().flatten().map(|value| value.len() + 64).sum();
        let mut out = String::with_capacity(size + 64);
        out.push_str("{\"auth\":true,\"data\":");
        if self.null {
            out.push_str("null");
        } else {
            let roots = self.plan.roots.iter().zip(&self.values);
            let members = roots.filter_map(|(root, value)| Some((&*root.key, value.as_deref()?)));
            write_object(&mut out, members);
        }
        out.push_str(",\"errors\":");
        if self.errors.is_empty() {
            out.push_str("null");
        } else {
            out.push('[');
            out.push_str(&self.errors.join(","));
            out.push(']');
        }
        if let Some(extensions) = self.extensions {
            out.push_str(",\"extensions\":");
            out.push_str(&extensions.to_string());
        }
        out.push('}');
        out.into()
    }
}

/// An error of the gateway's own.
fn error(message: &str, key: Option<&str>, cluster: Option<&ClusterName>) -> Json {
    let mut error = json!({ "message": message, "locations": [] });
    if let Some(key) = key {
        error["path"] = json!([key]);
    }
    if let Some(cluster) = cluster {
        error["extensions"] = json!({ "cluster": cluster.as_str() });
    }
    error
}

/// An answer without data.
pub(super) fn refusal(message: &str, cluster: Option<&ClusterName>) -> Bytes {
    json!({ "auth": true, "data": null, "errors": [error(message, None, cluster)] }).to_string().into()
}

/// The answer to an operation that is over a bound.
pub(super) fn limited(limit: Limit) -> Bytes {
    refusal(&limit.message(), None)
}
