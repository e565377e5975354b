//! Registered clusters in any number.

use fedgate::types::{Backend, Cluster, Snapshot, Source, TlsFiles};

/// `local-cluster` and `count - 1` others, `cluster-001` and on, each with one plain HTTP backend.
pub(crate) fn snapshot(count: usize) -> Snapshot {
    Snapshot::new((0..count).map(|number| {
        let name = match number {
            0 => "local-cluster".to_owned(),
            number => format!("cluster-{number:03}"),
        };
        Cluster {
            name: name.parse().expect("the name is well formed"),
            backends: vec![Backend { tls: false, host: name, port: 8080 }],
            tls: TlsFiles::default(),
            source: Source::Config,
        }
    }))
}
