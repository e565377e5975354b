use std::{collections::BTreeMap, sync::Arc};

use tokio::task::AbortHandle;

use super::{OpenKeyspace, ReplicaCache};
use crate::etcd::{Client, Event, Mirror};

/// The tasks that keep a cache up to date; dropping this ends them.
#[derive(Default)]
pub(in crate::replication) struct Watchers {
    tasks: BTreeMap<&'static str, AbortHandle>,
}

// === impl Watchers ===

impl Watchers {
    /// Follows exactly these keyspaces from now on.
    pub(in crate::replication) fn follow(
        &mut self,
        cache: &Arc<ReplicaCache>,
        client: &Arc<Client>,
        keyspaces: &[&'static str],
    ) {
        self.tasks.retain(|keyspace, task| {
            let stays = keyspaces.contains(keyspace);
            if !stays {
                task.abort();
                cache.close(keyspace);
            }
            stays
        });
        for keyspace in keyspaces {
            self.tasks.entry(keyspace).or_insert_with(|| {
                let mirror = Mirror::new(Arc::clone(client), *keyspace);
                tokio::spawn(follow(mirror, Arc::clone(cache), cache.open(keyspace))).abort_handle()
            });
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn follow(mut mirror: Mirror, cache: Arc<ReplicaCache>, keyspace: OpenKeyspace) {
    let mut batch = Vec::new();
    loop {
        let event = mirror.next().await;
        // Changes wait for the end of their revision, up to a bound.
        let more = matches!(event, Event::Item(_) | Event::Put(_) | Event::Delete { .. });
        batch.push(event);
        if !more || batch.len() >= BATCH {
            cache.apply(keyspace, batch.drain(..));
        }
    }
}

/// Most events that wait for the end of their revision. etcd accepts 128 operations per transaction by default.
const BATCH: usize = 1024;
