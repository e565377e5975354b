use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::items::{ItemError, Items};
use crate::types::ClusterName;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    entity: Part<'a>,
    #[serde(borrow)]
    check: Part<'a>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
}

/// The token that a cluster should have made for a page of events of all namespaces; `None` when it did.
///
/// Sensu takes the namespace for its token from the event's own metadata, in which the sender may have put any. An event is
/// stored in the namespace of its entity: from another one, the next page would repeat items or leave some out.
pub(super) fn mended_token(token: &str, page: &[u8], cluster: &ClusterName) -> Option<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok()?;
    let last = last_item(page)?;
    let event: Event<'_> = serde_json::from_slice(last).ok()?;
    let (entity, check) = (event.entity.metadata, event.check.metadata);
    let namespace = match entity.namespace.strip_suffix(cluster.as_str()) {
        Some(qualified) if !cluster.is_local() => qualified.strip_suffix('@')?,
        _ => &*entity.namespace,
    };
    // Other stores of events have tokens of other forms.
    let rest = format!("/{}/{}\0", entity.name, check.name);
    let named = decoded.strip_prefix(b"/")?.strip_suffix(rest.as_bytes())?;
    (named != namespace.as_bytes()).then(|| URL_SAFE_NO_PAD.encode(format!("/{namespace}{rest}")))
}

/// The last of some items, as a page holds them: separated by single commas, nothing around them.
fn last_item(items: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    let mut take = |item: &[u8]| {
        length = item.len();
        Ok::<(), ItemError>(())
    };
    let mut list = Items::default();
    list.push(b"[", &mut take).ok()?;
    list.push(items, &mut take).ok()?;
    items.get(items.len().checked_sub(length)?..)
}
