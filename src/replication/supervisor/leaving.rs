use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::replication::plan::View;

/// Replicators whose keys have to leave a destination, and since when.
pub(super) struct Leaving {
    since: BTreeMap<(String, Arc<str>), Instant>,
    /// How long that is waited for.
    grace: Duration,
}

// === impl Leaving ===

impl Leaving {
    pub(super) fn new(grace: Duration) -> Self {
        Self { since: BTreeMap::new(), grace }
    }

    pub(super) fn clear(&mut self) {
        self.since.clear();
    }

    pub(super) fn update(&mut self, view: &View<'_>) {
        let now = Instant::now();
        self.since.retain(|(id, name), _| view.leaves(id, name));
        for (id, name) in view.all_leaving() {
            self.since.entry((id, name)).or_insert(now);
        }
    }

    pub(super) fn contains(&self, id: &str, name: &Arc<str>) -> bool {
        self.since.contains_key(&(id.to_owned(), Arc::clone(name)))
    }

    /// Whether that takes too long to be waited for.
    pub(super) fn is_overdue(&self, id: &str, name: &Arc<str>) -> bool {
        let since = self.since.get(&(id.to_owned(), Arc::clone(name)));
        since.is_some_and(|since| since.elapsed() >= self.grace)
    }
}
