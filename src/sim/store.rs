//! The store: objects under the keys that Sensu uses in etcd, in byte order.

use std::{collections::BTreeMap, ops::Bound};

use super::{
    json::{self, Object},
    kinds, proto,
};

/// What lies under a key.
#[derive(Clone)]
pub(super) enum Stored {
    /// A decoded object.
    Object(Object),
    /// Bytes written from outside that no decoder understands.
    Raw(Vec<u8>),
}

/// Everything a cluster keeps.
#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<String, Stored>,
}

/// The range a list asks for.
pub(super) struct Range<'a> {
    /// Directory of the kind; keys outside of it do not decode.
    pub(super) root: &'a str,
    /// What the caller may see.
    pub(super) prefix: &'a str,
    /// The decoded cursor, empty for the first page.
    pub(super) after: &'a str,
    /// 0 or less for everything.
    pub(super) limit: i64,
}

/// What a list shows.
pub(super) struct Page<'a> {
    /// The objects with their keys.
    pub(super) items: Vec<(&'a str, &'a Object)>,
    /// Whether there is a next page.
    pub(super) more: bool,
}

/// Joins and cleans a key as Go's `path.Join` does: `..` goes up a directory, which Sensu does not prevent.
pub(super) fn join(parts: &[&str]) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in parts.iter().flat_map(|p| p.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut key = String::new();
    for segment in segments {
        key.push('/');
        key.push_str(segment);
    }
    key
}

// === impl Store ===

impl Store {
    pub(super) fn get(&self, key: &str) -> Option<&Stored> {
        self.objects.get(key)
    }

    pub(super) fn object(&self, key: &str) -> Option<&Object> {
        match self.objects.get(key) {
            Some(Stored::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub(super) fn object_mut(&mut self, key: &str) -> Option<&mut Object> {
        match self.objects.get_mut(key) {
            Some(Stored::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.objects.contains_key(key)
    }

    /// Stores an object; empty lists become null, as they do in protobuf.
    pub(super) fn put(&mut self, key: &str, mut object: Object) {
        if let Some(schema) = kinds::schema_of_key(key) {
            schema.settle(&mut object);
        }
        self.objects.insert(key.to_owned(), Stored::Object(object));
    }

    /// Stores bytes written past the API: protobuf or bare JSON of the object under that key.
    pub(super) fn put_bytes(&mut self, key: &str, bytes: &[u8]) {
        let decoded = kinds::schema_of_key(key).and_then(|schema| {
            if bytes.first() == Some(&b'{') {
                let value = json::parse(bytes, json::Reader::Whole).ok()?;
                schema.decode(&value).ok()
            } else {
                proto::decode(schema, bytes)
            }
        });
        match decoded {
            Some(object) => self.put(key, object),
            None => drop(self.objects.insert(key.to_owned(), Stored::Raw(bytes.to_vec()))),
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        self.objects.remove(key).is_some()
    }

    /// Removes every key that starts with `prefix`.
    pub(super) fn remove_prefix(&mut self, prefix: &str) {
        let keys: Vec<String> = self.keys(prefix).map(ToOwned::to_owned).collect();
        for key in keys {
            self.objects.remove(&key);
        }
    }

    /// The keys that start with `prefix`, in order.
    pub(super) fn keys<'a>(&'a self, prefix: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = prefix.to_owned();
        let rest = self.objects.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        rest.map(|(key, _)| key.as_str()).take_while(move |key| key.starts_with(&prefix))
    }

    /// All objects under a prefix, in key order.
    ///
    /// # Errors
    ///
    /// Sensu's text when one of them does not decode.
    pub(super) fn objects(&self, prefix: &str) -> Result<Vec<&Object>, String> {
        self.keys(prefix)
            .map(|key| match self.objects.get(key) {
                Some(Stored::Object(object)) => Ok(object),
                _ => Err(format!("could not decode the key {prefix}: unexpected EOF")),
            })
            .collect()
    }

    /// One page of a list.
    ///
    /// # Errors
    ///
    /// The first key of the range that belongs to another kind or does not decode.
    pub(super) fn page(&self, range: &Range<'_>) -> Result<Page<'_>, String> {
        let start =
            if range.after.is_empty() { range.prefix.to_owned() } else { join(&[range.prefix, range.after]) };
        let end = past(range.prefix);
        if start >= end {
            return Ok(Page { items: Vec::new(), more: false });
        }
        let limit = usize::try_from(range.limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
        let bounds = (Bound::Included(start.as_str()), Bound::Excluded(end.as_str()));
        let mut items = Vec::new();
        for (key, stored) in self.objects.range::<str, _>(bounds) {
            if items.len() == limit {
                return Ok(Page { items, more: true });
            }
            match stored {
                Stored::Object(object) if key.starts_with(range.root) => items.push((key.as_str(), object)),
                _ => return Err(key.clone()),
            }
        }
        Ok(Page { items, more: false })
    }
}

/// The first key after every key with that prefix.
fn past(prefix: &str) -> String {
    // Prefixes end in `/`, whose successor is `0`.
    format!("{}0", prefix.strip_suffix('/').unwrap_or(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_climb_as_in_sensu() {
        assert_eq!(join(&["sensu.io", "checks", "a", "../b/c"]), "/sensu.io/checks/b/c");
        assert_eq!(join(&["sensu.io", "assets", "a", "x/y"]), "/sensu.io/assets/a/x/y");
        assert_eq!(join(&["sensu.io", "users", "", "bob"]), "/sensu.io/users/bob");
        assert_eq!(join(&["/sensu.io/hooks/a/", "df\0"]), "/sensu.io/hooks/a/df\0");
    }

    #[test]
    fn a_page_ends_with_its_prefix_and_says_whether_more_follows() {
        let mut store = Store::default();
        for key in ["/r/a-b/x", "/r/a/x", "/r/a/y", "/r/b/x"] {
            store.put(key, Object::new());
        }
        let page = |prefix, after, limit| {
            let page = store.page(&Range { root: "/r/", prefix, after, limit }).unwrap();
            (page.items.iter().map(|(key, _)| *key).collect::<Vec<_>>(), page.more)
        };
        assert_eq!(page("/r/a/", "", 0), (vec!["/r/a/x", "/r/a/y"], false));
        assert_eq!(page("/r/", "", 2), (vec!["/r/a-b/x", "/r/a/x"], true));
        assert_eq!(page("/r/a/", "x\0", 1), (vec!["/r/a/y"], false));
        assert_eq!(page("/r/b/", "../a", 9), (vec!["/r/a-b/x", "/r/a/x", "/r/a/y", "/r/b/x"], false));
        assert_eq!(page("/r/a/", "zz", 9), (vec![], false));
    }
}
