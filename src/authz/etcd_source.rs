use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    Feeder, Rules,
    table::{Table, What, too_large},
};
use crate::{
    corev2,
    etcd::{Client, Error, Event, Mirror},
};

/// The copy of the keys, as the mirror's events change it.
#[derive(Debug, Default)]
pub(super) struct Copy {
    table: Table,
    has_changed: bool,
}

/// What an event leads to.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// The source is there; nothing has changed.
    Found,
    /// The source is there, with these rules.
    Publish(Rules),
    /// The source is gone.
    Lost(Error),
    /// There is more than the gateway holds.
    TooLarge,
}

// === impl Feeder ===

impl Feeder {
    /// Follows the RBAC keys of the local cluster's etcd. Never ends. May be dropped at any time, and begun anew:
    /// the rules that were read stay in force.
    pub async fn follow_etcd(&mut self, client: Arc<Client>) {
        loop {
            let mut mirror = Mirror::new(Arc::clone(&client), prefix());
            self.follow(&mut mirror).await;
            sleep(RELOAD_PAUSE).await;
        }
    }

    /// Until there is too much.
    async fn follow(&mut self, mirror: &mut Mirror) {
        let mut copy = Copy::default();
        loop {
            match copy.step(mirror.next().await) {
                Step::Wait => {}
                Step::Found => self.found(),
                Step::Publish(rules) => {
                    self.found();
                    self.publish(rules);
                }
                Step::Lost(error) => self.lost(&error),
                Step::TooLarge => return self.publish(Rules::new(Err(too_large()))),
            }
        }
    }
}

// === impl Copy ===

impl Copy {
    /// Takes an event in. Between the events of one transaction nothing is published.
    pub(super) fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Reset => *self = Self::default(),
            Event::Item(kv) | Event::Put(kv) => {
                if let Some((what, key)) = what(&kv.key) {
                    self.table.put(what, key, &kv.value);
                    self.has_changed = true;
                }
                if self.table.is_too_large() {
                    return Step::TooLarge;
                }
            }
            Event::Delete { key, .. } => {
                if let Some((what, key)) = what(&key) {
                    self.table.delete(what, key);
                    self.has_changed = true;
                }
            }
            Event::ResetDone { .. } => return self.publish(),
            Event::Progress { .. } if self.has_changed => return self.publish(),
            Event::Resumed { .. } => return Step::Found,
            // Of a compaction: etcd is there, and a load follows.
            Event::Progress { .. } | Event::Interrupted { error: Error::Compacted { .. }, .. } => {}
            Event::Interrupted { error, .. } => return Step::Lost(error),
        }
        Step::Wait
    }

    fn publish(&mut self) -> Step {
        self.has_changed = false;
        Step::Publish(self.table.rules())
    }
}

/// Covers both directories; whatever else begins so is ignored.
fn prefix() -> String {
    format!("{}rbac/cluster", corev2::ROOT)
}

/// Of which kind a key is, and what follows the directory. That may hold slashes: Sensu lists such a key all the
/// same.
fn what(key: &[u8]) -> Option<(What, &[u8])> {
    let key = key.strip_prefix(corev2::ROOT.as_bytes())?.strip_prefix(b"rbac/")?;
    let role = key.strip_prefix(b"clusterroles/").map(|key| (What::Role, key));
    role.or_else(|| Some((What::Binding, key.strip_prefix(b"clusterrolebindings/")?)))
}

/// After there was too much, whether there still is.
const RELOAD_PAUSE: Duration = Duration::from_secs(30);
