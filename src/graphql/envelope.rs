//! Answers of Sensu's form, `{"auth":…,"data":…,"errors":…}`: reading them, and writing the gateway's own.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};

use super::{error::describe, json_text::write_object, limits::Limit, plan::Plan};
use crate::types::{ClusterName, FailureClass};

/// A whole answer.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) data: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) errors: Option<Vec<&'a RawValue>>,
}

/// An answer that is merged from several.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    plan: &'a Plan,
    /// By root; `None` for one that is left out.
    values: Vec<Option<String>>,
    /// An answer without data, or a failed field that may not be null: all of it is null.
    null: bool,
    errors: Vec<String>,
    /// The member `extensions`.
    pub(super) extensions: Option<Json>,
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    pub(super) fn read(answer: &'a [u8]) -> Result<Self, FailureClass> {
        serde_json::from_slice(answer).map_err(|_| FailureClass::BadBody)
    }
}

// === impl Merged ===

impl<'a> Merged<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, values: vec![None; plan.roots.len()], null: false, errors: Vec::new(), extensions: None }
    }

    /// Takes in what a cluster has answered to some root fields.
    pub(super) fn answer(
        &mut self,
        roots: &[usize],
        answer: &[u8],
        mut edit: impl FnMut(&str, &RawValue) -> Option<String>,
    ) -> Result<(), FailureClass> {
        let envelope = Envelope::read(answer)?;
        self.errors.extend(envelope.errors.iter().flatten().map(|error| error.get().to_owned()));
        let Some(data) = envelope.data else {
            self.null = true;
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

    /// Nulls the root fields that a failed cluster should have answered.
    pub(super) fn failed(&mut self, roots: &[usize], cluster: &ClusterName, failure: FailureClass) {
        let message = describe(cluster, failure);
        for root in roots {
            self.fail(*root, Some(&message), Some(cluster));
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
