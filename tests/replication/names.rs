//! Every name that a cluster holds, under the key that Sensu gives it.

use fedgate::corev2::Type;

use crate::support::{
    becomes, delete, dump, eventually, federation::Federation, gateway::unregister, get, objects::object,
};

/// Assets of the public catalogue, whose names are those of their authors and projects.
const ASSETS: &[&str] = &[
    "sensu/catalog-integration-helper",
    "sensu/check-cpu-usage",
    "sensu/check-disk-usage",
    "sensu/check-memory-usage",
    "sensu/http-checks",
    "sensu/monitoring-plugins",
    "sensu/network-interface-checks",
    "sensu/sensu-aggregate-check",
    "sensu/sensu-ansible-handler",
    "sensu/sensu-cpu-check",
    "sensu/sensu-disk-check",
    "sensu/sensu-ec2-handler",
    "sensu/sensu-elasticsearch-handler",
    "sensu/sensu-email-handler",
    "sensu/sensu-entity-manager",
    "sensu/sensu-go-graphite-handler",
    "sensu/sensu-go-has-contact-filter",
    "sensu/sensu-influxdb-handler",
    "sensu/sensu-jira-handler",
    "sensu/sensu-kubernetes-events",
    "sensu/sensu-memory-check",
    "sensu/sensu-opsgenie-handler",
    "sensu/sensu-pagerduty-handler",
    "sensu/sensu-processes-check",
    "sensu/sensu-prometheus-collector",
    "sensu/sensu-remediation-handler",
    "sensu/sensu-ruby-runtime",
    "sensu/sensu-rundeck-handler",
    "sensu/sensu-servicenow-handler",
    "sensu/sensu-slack-handler",
    "sensu/sensu-snmp-trap-handler",
    "sensu/sensu-sumologic-handler",
    "sensu/sensu-timescaledb-handler",
    "sensu/sensu-victorops-handler",
    "sensu/sensu-wavefront-handler",
    "sensu/system-check",
    "sensu-plugins/sensu-plugins-cpu-checks",
    "sensu-plugins/sensu-plugins-disk-checks",
    "sensu-plugins/sensu-plugins-http",
    "sensu-plugins/sensu-plugins-memory-checks",
    "sensu-plugins/sensu-plugins-network-checks",
    "sensu-plugins/sensu-plugins-postgres",
    "sensu-plugins/sensu-plugins-process-checks",
    "sensu-plugins/sensu-plugins-redis",
    "asachs01/sensu-go-uptime-check",
    "betorvs/sensu-grafana-mutator",
    "DoctorOgg/sensu-check-http-go",
    "fgouteroux/sensu-go-plugins",
    "jspaleta/sensu-check-dns",
    "ncr-devops-platform/nagiosfoundation",
    "nixwiz/check-process-count",
    "nixwiz/sensu-check-status-metric-mutator",
    "nixwiz/sensu-go-fatigue-check-filter",
    "treydock/check-ps",
    "webconnex/sensu-slack-handler",
];

#[tokio::test]
async fn assets_of_the_public_catalogue_are_copied_kept_equal_and_removed() {
    let key = |namespace: &str, name: &str| Type::Asset.key(Some(namespace), name);
    let value = |namespace: &str, name: &str| object(Type::Asset, namespace, name);
    let mut federation = Federation::builder().replicate_in("r", Type::Asset, "dev");
    for name in ASSETS {
        // `dev` is an author too, and the beginning of another namespace's name.
        for (namespace, name) in [("dev", (*name).to_owned()), ("dev2", format!("dev/{name}"))] {
            federation = federation.at_source(&key(namespace, &name), &value(namespace, &name));
        }
    }
    // As Sensu stores a name with two slashes; and one that leads into this namespace from another.
    let federation = federation
        .at_source(&key("dev", "a/b"), &value("dev", "a//b"))
        .at_source(&key("dev", "b/stray"), &value("dev2", "../dev/b/stray"))
        .at_follower(&key("dev", "own/asset"), &value("dev", "own/asset"));
    let f = federation.start().await;
    let copied = ASSETS.len() + 1;
    f.gateway.until("r", "owns all", |status| status.keys == copied as u64).await;
    let there = dump(&f.a, Type::Asset.prefix()).await;
    for name in ASSETS {
        assert_eq!(there[&key("dev", name)].0, value("dev", name), "{name}");
    }
    assert_eq!(there[&key("dev", "a/b")].0, value("dev", "a//b"));
    assert_eq!(there.len(), copied + 1, "and the follower's own");
    f.gateway.says("r", "b/stray: the name or namespace inside the Asset differs from its key").await;
    delete(&f.local, &key("dev", "b/stray")).await;
    f.gateway.until("r", "has no error", |status| status.error.is_none()).await;
    // An edit and a deletion at the follower are undone.
    delete(&f.a, &key("dev", ASSETS[0])).await;
    becomes(&f.a, &key("dev", ASSETS[0]), Some(&value("dev", ASSETS[0]))).await;
    delete(&f.local, &key("dev", ASSETS[1])).await;
    becomes(&f.a, &key("dev", ASSETS[1]), None).await;
    unregister(&f.store, "r").await;
    eventually("all are gone", async || dump(&f.a, Type::Asset.prefix()).await.len() == 1).await;
    assert!(get(&f.a, &key("dev", "own/asset")).await.is_some());
    assert!(dump(&f.a, "/fedgate/replication/owned/").await.is_empty());
}
