//! Names, namespaces and ids that would lead out of a namespace.
//!
//! Sensu joins namespaces and names to store keys and cleans these like paths, after it has checked the rights in the
//! namespace: `../b/c` in namespace `a` is object `c` of namespace `b`, and namespace `/` is all of them. What Sensu might
//! read in another way than the gateway does is taken to lead out, too.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD as BASE64},
};
use bytes::Bytes;

use crate::{rewrite, types::Shape};

/// Whether a name would lead out of its namespace. No kind that GraphQL addresses by name has a `/` in its names.
pub(super) fn in_name(name: &str) -> bool {
    name.contains('/') || matches!(name, "." | "..")
}

/// The same for an id, whose last part is percent-encoded. Assets have `/` in their names, events two names in base64.
pub(super) fn in_id(text: &str) -> bool {
    let Some((resource, tail)) = text.strip_prefix("srn:").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let tail = tail.rsplit_once('?').map_or(tail, |(tail, _)| tail);
    let decoded = percent_encoding::percent_decode_str(tail).decode_utf8_lossy();
    if decoded.split(['/', ':']).any(|part| matches!(part, "." | "..")) {
        return true;
    }
    let (namespace, last) = tail.split_once(':').unwrap_or(("", tail));
    if in_name(&percent_encoding::percent_decode_str(namespace).decode_utf8_lossy()) {
        return true;
    }
    match resource {
        "assets" => decoded.rsplit(':').next().is_some_and(|name| name.split('/').any(str::is_empty)),
        "events" => {
            // Of what stands between slashes, Sensu takes the second, or the only one.
            let mut parts = last.split('/');
            let first = parts.next().unwrap_or_default();
            is_event_traversal(parts.next().unwrap_or(first))
        }
        _ => tail.contains('/') || decoded.contains('/'),
    }
}

/// The same for the entity and the check in the last part of an event's id. Sensu reads more than this does: line breaks and
/// rubbish in base64, members of the list that are no strings, half a surrogate pair.
fn is_event_traversal(part: &str) -> bool {
    let part: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
    let names =
        BASE64.decode(&part).ok().and_then(|names| serde_json::from_slice::<Vec<String>>(&names).ok());
    names.map_or_else(|| begins_a_list(&part), |names| names.iter().any(|name| in_name(name)))
}

/// Whether Sensu could read a list from base64: what does not begin as one has no names.
fn begins_a_list(part: &[u8]) -> bool {
    let part: Vec<u8> = part.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let bytes = part.chunks(4).map_while(|four| LENIENT.decode(four).ok()).flatten();
    bytes.into_iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) == Some(b'[')
}

/// The same for a whole resource in JSON. The name of an asset has slashes.
pub(super) fn in_resource(text: &str) -> bool {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let Ok(found) = rewrite::unqualify(&body, Shape::Resource) else { return true };
    let is_bad_path = |name: &String| {
        !name.is_empty() && name.split('/').any(|component| matches!(component, "" | "." | ".."))
    };
    found.namespaces.iter().any(|namespace| in_name(namespace))
        || found.names.iter().chain(&found.part_names).any(is_bad_path)
}

/// Whether a text could lead out of a namespace, whatever it is used for. A command such as `./x` could not.
pub(super) fn in_text(text: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let leads_out = |text: &str| {
        let mut parts = text.split('/');
        parts.clone().any(|part| part == "..") || parts.all(|part| matches!(part, "" | "."))
    };
    !text.is_empty()
        && (leads_out(text)
            || leads_out(&decoded)
            || in_id(text)
            || (text.contains('{') && in_resource(text)))
}

/// Base64 as lenient as Sensu's reader, and more.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
