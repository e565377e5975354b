mod crash;
mod failing;
mod fields;
mod follow;
mod reflect;
mod stores;

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;

use super::{Event, Events};
use crate::types::{Cluster, Snapshot, Source, TlsFiles};

fn cluster(name: &str, source: Source) -> Cluster {
    let backends = vec![format!("https://{name}.example.com").parse().unwrap()];
    Cluster { name: name.parse().unwrap(), backends, tls: TlsFiles::default(), source }
}

/// The next event, which must come.
async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    event.expect("no event").expect("the watch has ended")
}

/// The local cluster and these.
fn config(names: &[&str]) -> Arc<Snapshot> {
    let listed = names.iter().map(|name| cluster(name, Source::Config));
    Arc::new(Snapshot::new(listed.chain([cluster("local-cluster", Source::Local)])))
}

fn json(name: &str, url: &str) -> bytes::Bytes {
    let text = format!(
        r#"{{"type":"Cluster","api_version":"federation/v1","metadata":{{"name":"{name}"}},"spec":{{"api_urls":["{url}"]}}}}"#
    );
    text.into()
}
