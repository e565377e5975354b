//! `putWrapped`: an object as in a file for `sensuctl create`.

use serde_json::{Value, json};

use super::{
    inputs::Values,
    out::{Node, Out},
    records,
    session::{Refusal, Session},
};
use crate::sim::{
    entities, generic,
    json::{self as go, Object, Reader, text},
    kinds, namespaces, silenced,
};

/// What a failed attempt puts into the payload's errors: code and message.
type Attempt = Result<Node, (&'static str, String)>;

/// `Mutation.putWrapped`; all failures are in its payload.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver's result")]
pub(super) fn put_wrapped(s: &mut Session<'_>, args: &Values) -> Result<Out, String> {
    let upsert = args.get("upsert") == Some(&Value::Bool(true));
    let (node, errors) = match put(s, text(args, &["raw"]), upsert) {
        Ok(node) => (Out::Node(node), Vec::new()),
        Err((code, message)) => (Out::NULL, vec![standard_error(code, "raw", &message)]),
    };
    Ok(Out::Node(Node::made("PutWrappedPayload", vec![("node", node), ("errors", Out::List(errors))])))
}

fn internal(text: impl Into<String>) -> (&'static str, String) {
    ("ERR_INTERNAL", text.into())
}

fn refused(refusal: Refusal) -> (&'static str, String) {
    (code_of(&refusal), refusal.text())
}

fn put(s: &mut Session<'_>, raw: &str, upsert: bool) -> Attempt {
    let wrapped = go::parse(raw.as_bytes(), Reader::Stream).map_err(internal)?;
    let (record, mut object) = read(&wrapped).map_err(internal)?;
    let node = Node::new(record.ty, object.clone());
    let (name, namespace) = (node.name(), node.namespace());
    let verb = if upsert { "update" } else { "create" };
    s.authorize(verb, record.rbac, namespace, name).map_err(refused)?;
    validate(record, &mut object).map_err(internal)?;
    if !namespace.is_empty() {
        s.context.require_namespace(namespace).map_err(|failure| refused(failure.into()))?;
    }
    let key = generic::key(record.store, Some(namespace), name);
    if !upsert && s.store().contains(&key) {
        let shown = if record.ty == "Entity" { key.replace("entity_configs", "entities") } else { key };
        return Err(("ERR_ALREADY_EXISTS", format!("could not create the key {shown}")));
    }
    let user = s.user_name();
    go::set_meta(&mut object, "created_by", &user);
    match record.ty {
        "Namespace" => namespaces::create(s.store_mut(), name, &user),
        "Silenced" => {
            let now = s.now();
            silenced::complete(&mut object, &user, now).map_err(|failure| refused(failure.into()))?;
            s.store_mut().put(&key, object);
        }
        _ => s.store_mut().put(&key, object),
    }
    Ok(node)
}

/// The kind and the object of a wrapped document.
fn read(wrapped: &Value) -> Result<(&'static records::Record, Object), String> {
    let Value::Object(document) = wrapped else {
        let word = go::type_word(wrapped);
        return Err(format!(
            "error parsing data as wrapped-json: json: cannot unmarshal {word} into Go value of type types.rawWrapper"
        ));
    };
    let version = Some(text(document, &["api_version"])).filter(|v| !v.is_empty()).unwrap_or("core/v2");
    if !matches!(version, "core/v2" | "core/v3") {
        return Err(format!("error parsing spec: api group {version} has not been registered"));
    }
    let record = records::by_api(version, text(document, &["type"]));
    let record = record.ok_or("error parsing spec: api not found")?;
    let spec = document.get("spec").ok_or("no spec provided")?;
    let mut object = record.shape().decode(spec)?;
    if object.contains_key("metadata") {
        let given = document.get("metadata").unwrap_or(&Value::Null);
        object.insert("metadata".into(), kinds::META.decode(given)?.into());
    }
    Ok((record, object))
}

fn validate(record: &records::Record, object: &mut Object) -> Result<(), String> {
    match kinds::by_route(record.rbac) {
        Some(kind) => (kind.validate)(object),
        None if matches!(record.ty, "Entity" | "CoreV3EntityConfig") => entities::validate(object),
        None if record.ty == "Silenced" => check_silence(object),
        None if record.ty == "Namespace" => kinds::name(text(object, &["name"])),
        None if record.ty == "User" => kinds::username(text(object, &["username"])),
        None => Err(format!("putting a wrapped {} is not imitated", record.api.1)),
    }
}

/// An entry of a payload's own list of errors.
pub(super) fn standard_error(code: &str, input: &str, message: &str) -> Out {
    let error = json!({"code": code, "input": input, "message": message});
    Out::Node(Node::new("StandardError", error.as_object().cloned().unwrap_or_default()))
}

/// The code of a refusal in a payload's own list of errors.
pub(super) fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoClaims | Refusal::Unauthorized => "ERR_PERMISSION_DENIED",
        Refusal::Other(_) => "ERR_INTERNAL",
    }
}

/// Sensu's rules for a silence.
pub(super) fn check_silence(silence: &Object) -> Result<(), String> {
    let (subscription, check) = (text(silence, &["subscription"]), text(silence, &["check"]));
    if matches!((subscription, check), ("", "") | ("*", "*")) {
        return Err("must provide check or subscription".into());
    }
    if !matches!(subscription, "" | "*") {
        kinds::subscription_name(subscription).map_err(|e| format!("Subscription {e}"))?;
    }
    if !matches!(check, "" | "*") {
        kinds::name(check).map_err(|e| format!("Check {e}"))?;
    }
    Ok(())
}
