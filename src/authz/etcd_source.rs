use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    Feeder, Rules,
    table::{Kind, Table, too_large},
};
use crate::{
    corev2,
    etcd::{Client, Error, Event, Mirror},
};

/// The keys as the mirror's events left them.
#[derive(Debug, Default)]
pub(super) struct Replica {
    table: Table,
    has_changed: bool,
}

/// What an event leads to.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// The source is available; nothing has changed.
    Found,
    /// The source is available, with these rules.
    Publish(Rules),
    /// The source is not available.
    Lost(Error),
    /// There is more than the gateway holds.
    TooLarge,
}

// === impl Feeder ===

impl Feeder {
    /// Follows the RBAC keys of the local cluster's etcd. Never ends. May be dropped at any time and started
    /// again: the rules that were read stay in force.
    pub async fn follow_etcd(&mut self, client: Arc<Client>) {
        loop {
            let mut mirror = Mirror::new(Arc::clone(&client), prefix());
            self.follow(&mut mirror).await;
            sleep(RELOAD_PAUSE).await;
        }
    }

    /// Returns when there are more rules than the gateway holds.
    async fn follow(&mut self, mirror: &mut Mirror) {
        let mut replica = Replica::default();
        loop {
            match replica.step(mirror.next().await) {
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

// === impl Replica ===

impl Replica {
    /// Applies an event. Nothing is published between the events of one transaction.
    pub(super) fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Reset => *self = Self::default(),
            Event::Item(kv) | Event::Put(kv) => {
                if let Some((kind, key)) = kind_of(&kv.key) {
                    self.table.put(kind, key, &kv.value);
                    self.has_changed = true;
                }
                if self.table.is_too_large() {
                    return Step::TooLarge;
                }
            }
            Event::Delete { key, .. } => {
                if let Some((kind, key)) = kind_of(&key) {
                    self.table.delete(kind, key);
                    self.has_changed = true;
                }
            }
            Event::ResetDone { .. } => return self.publish(),
            Event::Progress { .. } if self.has_changed => return self.publish(),
            Event::Resumed { .. } => return Step::Found,
            // After a compaction etcd is available, and a load follows.
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

/// Covers both directories; other keys with this prefix are ignored.
fn prefix() -> String {
    format!("{}rbac/cluster", corev2::ROOT)
}

/// The kind of a key, and what follows its directory. That may hold slashes: Sensu lists such a key too.
fn kind_of(key: &[u8]) -> Option<(Kind, &[u8])> {
    let key = key.strip_prefix(corev2::ROOT.as_bytes())?.strip_prefix(b"rbac/")?;
    let role = key.strip_prefix(b"clusterroles/").map(|key| (Kind::Role, key));
    role.or_else(|| Some((Kind::Binding, key.strip_prefix(b"clusterrolebindings/")?)))
}

/// How long to wait before reading again after there was too much.
const RELOAD_PAUSE: Duration = Duration::from_secs(30);
