//! The fields of `Query`, and of what has no stored object behind it.

use serde_json::{Value, json};

use super::{
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
    session::{Refusal, Row, Session},
    suggest,
};
use crate::sim::json::text;

pub(super) const FIELDS: &[Row] = &[
    ("Query", "viewer", |_, _, _| Ok(Out::Node(Node::made("Viewer", Vec::new())))),
    ("Query", "namespace", |session, _, args| session.namespace(text(args, &["name"])).map(Out::from)),
    ("Query", "event", |session, _, args| {
        let [namespace, entity, check] = ["namespace", "entity", "check"].map(|key| text(args, &[key]));
        session.event(namespace, entity, check).or_else(Refusal::or_nothing).map(Out::from)
    }),
    ("Query", "entity", |session, _, args| fetch(session, &records::ENTITIES, args)),
    ("Query", "mutator", |session, _, args| fetch(session, &records::MUTATORS, args)),
    ("Query", "check", |session, _, args| fetch(session, &records::CHECKS, args)),
    ("Query", "eventFilter", |session, _, args| fetch(session, &records::FILTERS, args)),
    ("Query", "handler", |session, _, args| fetch(session, &records::HANDLERS, args)),
    ("Query", "suggest", |session, _, args| suggest::suggest(session, args)),
    ("Query", "node", |session, _, args| session.node(text(args, &["id"])).map(Out::from)),
    ("Query", "wrappedNode", |session, _, args| {
        let node = session.node(text(args, &["id"]))?;
        // Objects of core/v3 are not of the type that Sensu can wrap here.
        let node = node.filter(|node| !node.ty.starts_with("CoreV3"));
        Ok(node.map_or(Out::NULL, |node| Out::Value(records::wrapped(&node))))
    }),
    ("Query", "responder", |session, _, _| {
        let name = format!("{}-backend-1", session.context.inner.name);
        Ok(Out::Value(json!({"meta": {"name": name, "namespace": "", "created_by": ""}})))
    }),
    ("Query", "health", |_, _, _| Ok(Out::Value(json!({})))),
    ("Query", "versions", |_, _, _| {
        Ok(Out::Value(json!({
            "backend": {"version": "6.12.0", "buildSHA": "", "buildDate": null},
            "etcd": {"server": "3.5.15", "cluster": "3.5.0"},
        })))
    }),
    ("Query", "metrics", |_, _, _| Err("metrics are not imitated".into())),
    ("ClusterHealth", "etcd", |session, _, _| {
        let inner = session.context.inner;
        let id = inner.member_id().to_string();
        let member = json!({"memberID": id, "name": inner.name, "err": "", "healthy": true});
        Ok(Out::Value(json!({"alarms": [], "members": [member]})))
    }),
    ("Viewer", "namespaces", |session, _, _| session.namespaces().map(Out::nodes)),
    ("Viewer", "user", |session, _, _| {
        if session.user().is_none() {
            return Ok(Out::NULL);
        }
        session.fetch(&records::USERS, "", &session.user_name()).map(Out::from)
    }),
    ("User", "hasPassword", |_, node, _| {
        let has = ["password", "password_hash"].iter().any(|key| !node.text(&[key]).is_empty());
        Ok(Out::Value(has.into()))
    }),
    ("ObjectMeta", "labels", |_, node, _| Ok(pairs(node, "labels"))),
    ("ObjectMeta", "annotations", |_, node, _| Ok(pairs(node, "annotations"))),
];

fn fetch(session: &mut Session<'_>, record: &'static Record, args: &Values) -> Result<Out, String> {
    session.fetch(record, text(args, &["namespace"]), text(args, &["name"])).map(Out::from)
}

/// A map of strings as a sorted list of pairs.
fn pairs(meta: &Node, key: &str) -> Out {
    let mut pairs: Vec<(&str, &str)> = meta
        .part(key)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<Value> = pairs.into_iter().map(|(key, val)| json!({"key": key, "val": val})).collect();
    Out::Value(pairs.into())
}
