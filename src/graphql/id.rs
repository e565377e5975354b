//! Global ids with the cluster in their namespace part (Sensu behaviour: `srn:resource:namespace:[type/]unique[?query]`).
//!
//! Sensu cuts an id into at most four parts at `:`; only one of four parts has a namespace. A namespace object's own
//! id has three, and its last part is the namespace. Names hold no `@`, so one in that part is the gateway's.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::types::{ClusterName, NamespaceRef};

/// Where in an id the text `@cluster` goes; nothing for an id that belongs to no namespace.
pub(super) fn insertion(id: &[u8]) -> Option<usize> {
    let rest = id.strip_prefix(PREFIX)?;
    let resource = memchr::memchr(b':', rest)?;
    let start = PREFIX.len() + resource + 1;
    let third = &id[start..];
    match memchr::memchr(b':', third) {
        Some(_) if CLUSTER_WIDE.contains(&&rest[..resource]) => None,
        Some(0) => None,
        Some(length) => Some(start + length),
        None if &rest[..resource] == b"namespaces" => {
            let end = memchr::memrchr(b'?', third).unwrap_or(third.len());
            (end > 0).then_some(start + end)
        }
        None => None,
    }
}

/// What an id or a namespace names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The local cluster, in a plain spelling.
    Plain,
    /// A cluster by its name; the range is the text to take out.
    Cluster(ClusterName, Range<usize>),
    /// Something that cannot exist in any cluster, such as `@x` or `a@b@c`.
    Nothing,
}

/// Reads a namespace as a client wrote it.
pub(super) fn namespace(text: &str) -> Named {
    if text.is_empty() {
        return Named::Plain;
    }
    let Ok(parsed) = NamespaceRef::parse(text) else { return Named::Nothing };
    if is_path_traversal(&parsed.namespace) {
        return Named::Nothing;
    }
    match text.find('@') {
        None => Named::Plain,
        Some(at) => Named::Cluster(parsed.cluster.unwrap_or_else(ClusterName::local), at..text.len()),
    }
}

/// Reads an id as a client wrote it. `%40` counts as `@` in the namespace part, which Sensu never escapes.
pub(super) fn id(text: &str) -> Named {
    if is_id_traversal(text) {
        return Named::Nothing;
    }
    let Some((resource, tail)) = text.strip_prefix("srn:").and_then(|rest| rest.split_once(':')) else {
        return Named::Plain;
    };
    let third = match tail.split_once(':') {
        Some((third, _)) if !CLUSTER_WIDE.contains(&resource.as_bytes()) => third,
        None if resource == "namespaces" => tail.rsplit_once('?').map_or(tail, |(name, _)| name),
        _ => return Named::Plain,
    };
    let start = text.len() - tail.len();
    let (at, length) = match (third.find('@'), third.find("%40")) {
        (Some(at), _) => (at, 1),
        (None, Some(at)) => (at, 3),
        (None, None) => return Named::Plain,
    };
    match third[at + length..].parse::<ClusterName>() {
        Ok(cluster) if at > 0 => Named::Cluster(cluster, start + at..start + third.len()),
        _ => Named::Nothing,
    }
}

/// Whether a name would lead out of its namespace: Sensu joins names to store keys and cleans them like paths, after it
/// has checked the rights in the namespace. No kind that GraphQL addresses by name has a `/` in its names.
pub(super) fn is_path_traversal(name: &str) -> bool {
    name.contains('/') || matches!(name, "." | "..")
}

/// The same for an id, whose last part is percent-encoded. Assets have `/` in their names, events two names in base64.
fn is_id_traversal(text: &str) -> bool {
    let Some((resource, tail)) = text.strip_prefix("srn:").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let tail = tail.rsplit_once('?').map_or(tail, |(tail, _)| tail);
    let decoded = percent_encoding::percent_decode_str(tail).decode_utf8_lossy();
    if decoded.split(['/', ':']).any(|part| matches!(part, "." | "..")) {
        return true;
    }
    match resource {
        "assets" => decoded.rsplit(':').next().is_some_and(|name| name.split('/').any(str::is_empty)),
        // Standard base64 has `/` of its own, which an id escapes.
        "events" => [tail.split_once('/'), tail.rsplit_once('/'), tail.rsplit_once(':')]
            .iter()
            .flatten()
            .any(|(_, names)| event_names(names).iter().any(|name| is_path_traversal(name))),
        _ => tail.contains('/') || decoded.contains('/'),
    }
}

/// The entity and the check in the last part of an event's id.
fn event_names(part: &str) -> Vec<String> {
    let part: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
    BASE64.decode(part).ok().and_then(|names| serde_json::from_slice(&names).ok()).unwrap_or_default()
}

/// Whether a text could lead out of a namespace, regardless of what it is used for.
pub(super) fn has_traversal(text: &str) -> bool {
    has_step(text, &[".", ".."])
}

/// The same for text that is probably not a name: a command such as `./x` is harmless.
pub(super) fn has_parent_step(text: &str) -> bool {
    has_step(text, &[".."])
}

fn has_step(text: &str, steps: &[&str]) -> bool {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let found = |text: &str| text.contains('/') && text.split('/').any(|part| steps.contains(&part));
    found(text) || found(&decoded) || (text.starts_with("srn:") && is_id_traversal(text))
}

/// The id of a namespace object. The name is escaped as Go escapes a path segment.
pub(super) fn of_namespace(qualified: &str) -> String {
    format!("srn:namespaces:{}", percent_encoding::utf8_percent_encode(qualified, ESCAPED))
}

const PREFIX: &[u8] = b"srn:";

/// Kinds without a namespace. A name with a `:` makes such an id look as if it had one.
const CLUSTER_WIDE: &[&[u8]] = &[b"clusterroles", b"clusterrolebindings", b"users"];

/// What Go's path escaping does not keep.
const ESCAPED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$');

#[cfg(test)]
mod tests {
    use super::*;

    fn qualified(id: &str) -> String {
        match insertion(id.as_bytes()) {
            Some(at) => format!("{}@alpha{}", &id[..at], &id[at..]),
            None => id.to_owned(),
        }
    }

    fn plain(text: &str, named: Named) -> String {
        match named {
            Named::Cluster(cluster, cut) => {
                assert_eq!(cluster.as_str(), "alpha", "{text}");
                format!("{}{}", &text[..cut.start], &text[cut.end..])
            }
            Named::Plain => text.to_owned(),
            Named::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_cluster_stands_behind_the_namespace_and_comes_off_again() {
        for (native, with_cluster) in [
            ("srn:checks:default:disk", "srn:checks:default@alpha:disk"),
            ("srn:silences:default:linux:%2A", "srn:silences:default@alpha:linux:%2A"),
            ("srn:events:default:check/WyJ3Il0=", "srn:events:default@alpha:check/WyJ3Il0="),
            ("srn:corev2/pipeline:default:p", "srn:corev2/pipeline:default@alpha:p"),
            ("srn:core/v3.EntityConfig:default:web-1", "srn:core/v3.EntityConfig:default@alpha:web-1"),
            ("srn:checks:fix:colon:c1", "srn:checks:fix@alpha:colon:c1"),
            ("srn:checks:default:disk?a=1?b", "srn:checks:default@alpha:disk?a=1?b"),
            ("srn:namespaces:default", "srn:namespaces:default@alpha"),
            ("srn:namespaces:default?x=1", "srn:namespaces:default@alpha?x=1"),
        ] {
            assert_eq!(qualified(native), with_cluster);
            assert_eq!(plain(with_cluster, id(with_cluster)), native);
        }
        let escaped = "srn:checks:default%40alpha:disk";
        assert_eq!(plain(escaped, id(escaped)), "srn:checks:default:disk");
    }

    #[test]
    fn ids_without_a_namespace_stay_as_they_are() {
        for id in
            ["srn:clusterroles:view", "srn:clusterroles:system:user", "srn:users:admin", "bogus", "", "srn:x"]
        {
            assert_eq!(qualified(id), id);
        }
        for cluster_wide in
            ["srn:clusterroles:view", "srn:clusterroles:view@alpha", "srn:clusterroles:a@alpha:b"]
        {
            assert_eq!(id(cluster_wide), Named::Plain);
        }
        assert_eq!(id("bogus@alpha"), Named::Plain);
    }

    #[test]
    fn what_cannot_be_a_name_names_nothing() {
        for bad in ["srn:checks:@alpha:x", "srn:checks:a@:x", "srn:checks:a@b@c:x", "srn:checks:a@b%c:x"] {
            assert_eq!(id(bad), Named::Nothing, "{bad}");
        }
        for bad in [
            "srn:checks:a:..%2Fb%2Fc",
            "srn:checks:a@alpha:..%2Fb%2Fc",
            "srn:checks:a:b%2Fc",
            "srn:checks:a/../b:c",
            "srn:namespaces:..%2Fchecks%2Fa%2Fb",
            "srn:clusterroles:..%2Fx",
            "srn:assets:a:..%2Fb%2Fc",
            "srn:assets:a:b%2F%2Fc",
            "srn:events:a:check/WyIuLi9iL2MiLCJkIl0=",
            "srn:events:a:check/WyJcdTAwMmUuXHUwMDJmYiIsImQiXQ==",
        ] {
            assert_eq!(id(bad), Named::Nothing, "{bad}");
        }
        for good in
            ["srn:assets:a:b%2Fc", "srn:events:a:check/WyJ3ZWItMDEiLCJodHRwIl0=", "srn:silences:a:linux:%2A"]
        {
            assert_eq!(id(good), Named::Plain, "{good}");
        }
        for bad in ["@alpha", "a@", "a@b@c", "..", ".", "../b", "a/../b@alpha"] {
            assert_eq!(namespace(bad), Named::Nothing, "{bad}");
        }
        assert_eq!(namespace("default@local-cluster"), Named::Cluster(ClusterName::local(), 7..21));
    }

    #[test]
    fn a_namespace_has_the_id_that_sensu_gives_it() {
        assert_eq!(of_namespace("fix:colon@alpha"), "srn:namespaces:fix:colon@alpha");
        assert_eq!(of_namespace("a b"), "srn:namespaces:a%20b");
    }
}
