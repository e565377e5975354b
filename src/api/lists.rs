use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    registry::{Entry, Item, Registry, resource},
    types::Kind,
};

/// The lists of the newest view, as they are answered. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Lists {
    newest: Arc<Mutex<Vec<Made>>>,
}

struct Made {
    kind: Kind,
    view: Arc<Registry>,
    json: Bytes,
}

// === impl Lists ===

impl Lists {
    /// The list of a view, made by the first who asks for it.
    pub(super) fn of(&self, kind: Kind, view: &Arc<Registry>, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let mut newest = self.newest.lock();
        if let Some(list) = newest.iter().find(|list| list.kind == kind && Arc::ptr_eq(&list.view, view)) {
            return list.json.clone();
        }
        newest.retain(|list| list.kind != kind);
        let json = Bytes::from(make());
        newest.push(Made { kind, view: Arc::clone(view), json: json.clone() });
        json
    }
}

/// What is listed of a kind, with names, in their order: what the store has just answered, or what the view shows.
pub(super) fn listed(view: &Registry, kind: Kind, entries: Option<Vec<Entry>>) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    if kind == Kind::Cluster {
        let configured = view.config_resources();
        found.extend(configured.map(|item| (item.metadata.name.clone(), resource::to_json(&item))));
    }
    let is_hidden = |name: &str| kind == Kind::Cluster && view.from_config(name).is_some();
    let entries = entries.unwrap_or_else(|| view.list(kind).map(|item| item.entry.clone()).collect());
    for entry in entries {
        // What the view has read is not read again.
        let item = view.item_of(&entry).cloned().map_or_else(|| Item::parse(entry).map(Arc::new), Ok);
        // What this version cannot read would break the list for everybody; the view has logged it.
        let Ok(item) = item else { continue };
        let name = &item.checked.resource.metadata.name;
        if !is_hidden(name) {
            found.push((name.clone(), item.entry.value.to_vec()));
        }
    }
    found.sort();
    found
}

pub(super) fn join(items: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut list = vec![b'['];
    for (index, (_, json)) in items.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(json);
    }
    list.push(b']');
    list
}
