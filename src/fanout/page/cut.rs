use std::{borrow::Cow, collections::BinaryHeap};

use serde::Deserialize;

use super::items::{ItemError, Items};
use crate::{rewrite::ScanError, types::Shape};

/// Cuts one page out of a member's whole list as it streams past: of the items after a key the first ones in key order.
///
/// No more than the page is kept, whatever the order in which items come. A cluster sorts its lists by the same keys (the
/// bytes of `<namespace>/<name>`, as they are in its store), so that a page is a run of its list; the one list that comes in
/// another order, namespaces of a user who may not see all, is paged in the order of its keys.
pub(super) struct Cutter {
    items: Items,
    shape: Shape,
    /// The key of the last item that the client has.
    after: Option<Vec<u8>>,
    max_items: usize,
    max_bytes: usize,
    /// The last in key order on top.
    kept: BinaryHeap<Kept>,
    kept_bytes: usize,
    /// The first key that had to be left out: nothing from there on is on this page.
    end: Option<Vec<u8>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    key: Vec<u8>,
    item: Vec<u8>,
}

/// A page of a member's items.
pub(super) struct Cut {
    /// The items as they came, in key order.
    pub(super) items: Vec<Vec<u8>>,
    /// The last key, when more follows.
    pub(super) next: Option<Vec<u8>>,
}

/// The parts of an item that its key is made of.
#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

// === impl Cutter ===

impl Cutter {
    /// Keeps `max_items` items, and of those as many as fit in `max_bytes`, but at least one.
    pub(super) fn new(shape: Shape, after: Option<Vec<u8>>, max_items: usize, max_bytes: usize) -> Self {
        Self {
            items: Items::default(),
            shape,
            after,
            max_items,
            max_bytes,
            kept: BinaryHeap::new(),
            kept_bytes: 0,
            end: None,
        }
    }

    /// Reads some of the list.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), ItemError> {
        let mut items = std::mem::take(&mut self.items);
        let read = items.push(chunk, |item| self.take(item));
        self.items = items;
        read
    }

    /// Ends the list.
    pub(super) fn finish(self) -> Result<Cut, ItemError> {
        self.items.finish()?;
        let kept = self.kept.into_sorted_vec();
        let next = self.end.and_then(|_| kept.last().map(|last| last.key.clone()));
        Ok(Cut { items: kept.into_iter().map(|kept| kept.item).collect(), next })
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Keeps no more than it has now: the process has no room.
    pub(super) fn shrink(&mut self) {
        self.max_bytes = self.max_bytes.min(self.kept_bytes);
    }

    fn take(&mut self, item: &[u8]) -> Result<(), ItemError> {
        let key = key_of(self.shape, item)?;
        let sent = self.after.as_ref().is_some_and(|after| key <= *after);
        if sent || self.end.as_ref().is_some_and(|end| key >= *end) {
            return Ok(());
        }
        self.kept_bytes += item.len();
        self.kept.push(Kept { key, item: item.to_vec() });
        while self.kept.len() > self.max_items || (self.kept.len() > 1 && self.kept_bytes > self.max_bytes) {
            let Some(last) = self.kept.pop() else { break };
            self.kept_bytes -= last.item.len();
            self.end = Some(last.key);
        }
        Ok(())
    }
}

/// An item's key in the cluster's store. Reading it checks the whole item.
pub(super) fn key_of(shape: Shape, item: &[u8]) -> Result<Vec<u8>, ItemError> {
    let identity: Identity<'_> =
        serde_json::from_slice(item).map_err(|_| ItemError::Scan(ScanError::Unexpected))?;
    let key = match (shape, identity.metadata) {
        (Shape::Namespace, _) => identity.name.unwrap_or_default().into_owned(),
        (Shape::Resource, None) => String::from("/"),
        (Shape::Resource, Some(Metadata { namespace, name })) => {
            format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
        }
    };
    Ok(key.into_bytes())
}
