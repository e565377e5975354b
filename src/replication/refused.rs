//! What a destination refuses to take: single objects, and whole kinds that its access control denies.
//!
//! etcd grants rights by prefixes, and says only that something of a transaction is denied. What is remembered is
//! therefore a kind in a namespace: it is left alone for a while, then tried again, and nothing else waits for it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use crate::corev2::ObjectKey;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Until the next comparison, and why.
    keys: BTreeMap<Bytes, String>,
    /// By prefix.
    denied: BTreeMap<String, Denial>,
}

/// A prefix that may not be written to.
#[derive(Debug)]
struct Denial {
    text: Arc<str>,
    /// When it is tried again.
    until: Instant,
    /// It is being tried.
    is_tried: bool,
    failures: u32,
}

// === impl Refused ===

impl Refused {
    /// Leaves out a key.
    pub(super) fn refuse(&mut self, key: Bytes, reason: String) {
        self.keys.insert(key, reason);
    }

    /// Gives single keys another chance, and returns them.
    pub(super) fn forget_keys(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        std::mem::take(&mut self.keys).into_keys()
    }

    /// Why a key is left out.
    pub(super) fn reason(&self, key: &Bytes) -> Option<&String> {
        self.keys.get(key)
    }

    /// Whether a key's kind is left alone now.
    pub(super) fn is_denied(&self, key: &[u8]) -> bool {
        self.denied.iter().any(|(prefix, denial)| !denial.is_tried && key.starts_with(prefix.as_bytes()))
    }

    /// Whether the destination's version of a key counts as one that cannot be changed. While a kind is being tried again,
    /// it does: what depends on it would otherwise change with each attempt.
    pub(super) fn holds(&self, key: &Bytes) -> bool {
        self.keys.contains_key(key) || self.denied.keys().any(|prefix| key.starts_with(prefix.as_bytes()))
    }

    /// How often a kind was denied in a row.
    pub(super) fn failures(&self, prefix: &str) -> u32 {
        self.denied.get(prefix).map_or(0, |denial| denial.failures)
    }

    /// Leaves a kind alone until then.
    pub(super) fn deny(&mut self, prefix: String, text: Arc<str>, until: Instant) {
        let failures = self.failures(&prefix).saturating_add(1);
        self.denied.insert(prefix, Denial { text, until, is_tried: false, failures });
    }

    /// The kinds that are to be tried again now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let due = self.denied.iter_mut().filter(|(_, denial)| !denial.is_tried && denial.until <= now);
        due.map(|(prefix, denial)| {
            denial.is_tried = true;
            prefix.clone()
        })
        .collect()
    }

    /// When the next kind is tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.denied.values().filter(|denial| !denial.is_tried).map(|denial| denial.until).min()
    }

    /// A key was written: its kind is not denied any more. Returns whether it was.
    pub(super) fn granted(&mut self, key: &Bytes) -> bool {
        let before = self.denied.len();
        self.denied.retain(|prefix, _| !key.starts_with(prefix.as_bytes()));
        self.denied.len() < before
    }

    /// Forgets kinds that are tried again but of which there is nothing to write any more. Returns whether there were any.
    pub(super) fn settle(&mut self, is_due: impl Fn(&str) -> bool) -> bool {
        let before = self.denied.len();
        self.denied.retain(|prefix, denial| !denial.is_tried || is_due(prefix));
        self.denied.len() < before
    }

    pub(super) fn denies_nothing(&self) -> bool {
        self.denied.is_empty()
    }

    /// Why something under a prefix is denied, being tried again or not.
    pub(super) fn denial_under(&self, prefix: &str) -> Option<&Arc<str>> {
        let overlaps = |other: &str| other.starts_with(prefix) || prefix.starts_with(other);
        self.denied.iter().find(|(other, _)| overlaps(other)).map(|(_, denial)| &denial.text)
    }

    /// The prefixes that are denied, and why.
    pub(super) fn denials(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.denied.iter().map(|(prefix, denial)| (&**prefix, &denial.text))
    }
}

/// The prefix of a key's kind and namespace, which rights are granted for.
pub(super) fn kind_prefix(key: &[u8]) -> Option<String> {
    let object = ObjectKey::parse(key)?.ok()?;
    Some(object.kind.prefix_in(object.namespace))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_denied_kind_is_left_alone_then_tried_and_stays_known_until_it_is_written() {
        let now = Instant::now();
        let mut refused = Refused::default();
        let (denied, other) = (Bytes::from("/sensu.io/checks/dev/a"), Bytes::from("/sensu.io/checks/dev2/a"));
        let prefix = kind_prefix(&denied).unwrap();
        assert_eq!(prefix, "/sensu.io/checks/dev/");
        let later = now + Duration::from_secs(1);
        refused.deny(prefix.clone(), "no".into(), later);
        assert!(refused.is_denied(&denied) && refused.holds(&denied) && !refused.holds(&other));
        assert_eq!((refused.next_due(), refused.due(now)), (Some(later), vec![]));
        assert_eq!(refused.due(later), vec![prefix.clone()]);
        assert!(!refused.is_denied(&denied) && refused.holds(&denied) && refused.next_due().is_none());
        // Being tried, it is still shown, for the whole kind and for the namespace.
        for shown in ["/sensu.io/checks/", "/sensu.io/checks/dev/"] {
            assert!(refused.denial_under(shown).is_some());
        }
        assert!(refused.denial_under("/sensu.io/checks/dev2/").is_none());
        refused.deny(prefix.clone(), "no".into(), later);
        assert_eq!(refused.failures(&prefix), 2);
        refused.due(later);
        assert!(!refused.settle(|_| true) && !refused.granted(&other) && !refused.denies_nothing());
        assert!(refused.granted(&denied) && refused.denies_nothing());
        refused.deny(prefix, "no".into(), later);
        assert!(!refused.settle(|_| false), "it waits to be tried");
        refused.due(later);
        assert!(refused.settle(|_| false) && refused.denies_nothing());
    }
}
