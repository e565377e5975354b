//! The steps of replication as spans, from a whole gateway to a collector.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fedgate::{
    app::Server,
    config,
    corev2::Type,
    etcd::Client,
    registry::EtcdStore,
    sim::SharedKeys,
    telemetry::{self, trace::proto::Span},
    types::TlsFiles,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    collector::{Collector, texts},
    etcd_server::Etcd,
    support::{
        becomes,
        federation::{BINDINGS, cluster},
        gateway::{definition, register, replicate},
        objects::cluster_role_binding,
        put,
    },
};

/// The steps and the spans of the first of each that the collector got until there were all of these.
async fn steps(collector: &mut Collector, wanted: &[&str]) -> BTreeMap<String, Span> {
    let mut found: BTreeMap<String, Span> = BTreeMap::new();
    let gather = async {
        while !wanted.iter().all(|step| found.contains_key(*step)) {
            let span = collector.spans.recv().await.unwrap();
            if span.name == "replication" {
                let step = texts(&span.attributes)["fedgate.replication.step"].clone();
                found.entry(step).or_insert(span);
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), gather).await;
    assert!(done.is_ok(), "{wanted:?}: {found:#?}");
    found
}

fn config_file(directory: &tempfile::TempDir, source: &Etcd, collector: &Collector) -> Value {
    let key = directory.path().join("jwt_public.pem");
    std::fs::write(&key, SharedKeys::generate().unwrap().public_pem()).unwrap();
    let endpoints = json!({"endpoints": [source.endpoint().to_string()]});
    json!({
        "listen": {"address": "127.0.0.1:0", "workers": 1},
        "admin": {"address": "127.0.0.1:0"},
        "auth": {"jwt-public-key-files": [key]},
        "store": {"etcd": endpoints},
        "local-cluster": {"api-urls": ["http://127.0.0.1:1"]},
        "replication": {"source": endpoints},
        "tracing": {"otlp-endpoint": format!("http://{}", collector.address)},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_replication_is_a_trace_and_one_that_fails_says_so() {
    let mut collector = Collector::start().await;
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = EtcdStore::new(Arc::new(Client::new(source.config()).unwrap()), "/fedgate/");
    replicate(&store, "to-alpha", Type::ClusterRoleBinding, &alpha).await;
    let (key, secret) = (format!("{BINDINGS}ops-s3cret"), cluster_role_binding("ops-s3cret", "view", "ops"));
    put(&local, &key, &secret).await;

    let directory = tempfile::tempdir().unwrap();
    let file = config_file(&directory, &source, &collector);
    let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
    let server = Server::build(&root, None, telemetry::init_quiet()).await.unwrap();
    let (stop, stopped) = mpsc::channel(2);
    let running = tokio::spawn(server.run(stopped));
    becomes(&a, &key, Some(&secret)).await;

    let found = steps(&mut collector, &["read-fence", "take-fence", "write"]).await;
    for (step, span) in &found {
        assert!(span.parent_span_id.is_empty(), "{step} has no cause: {span:#?}");
        assert_eq!(texts(&span.attributes)["fedgate.replicators"], "to-alpha", "{step}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{step}");
        assert!(span.status.is_none(), "{step}: {span:#?}");
        assert!(!format!("{span:?}").contains("s3cret"), "names of objects are not recorded");
    }
    // The object, and the record of whose it is.
    assert_eq!(texts(&found["write"].attributes)["fedgate.replication.keys"], "2");
    let ids: std::collections::BTreeSet<_> = found.values().map(|span| &span.trace_id).collect();
    assert_eq!(ids.len(), found.len(), "each is a trace of its own");

    let nowhere =
        definition("to-nowhere", Type::ClusterRoleBinding, "http://127.0.0.1:1", &TlsFiles::default());
    register(&store, &nowhere).await;
    let failed = async {
        loop {
            let span = collector.spans.recv().await.unwrap();
            if let (true, Some(status)) = (span.name == "replication", &span.status) {
                // The first attempts may be begun before it is known for whom.
                if texts(&span.attributes)["fedgate.replicators"] == "to-nowhere" {
                    return (status.code, status.message.clone());
                }
            }
        }
    };
    let failed = tokio::time::timeout(Duration::from_secs(60), failed).await.unwrap();
    assert_eq!(failed, (2, "etcd error".to_owned()));
    stop.send(()).await.unwrap();
    running.await.unwrap().unwrap();
}
