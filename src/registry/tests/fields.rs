use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    registry::resource::{Checked, of_config},
    types::{Kind, Source, Spec},
};

fn cluster() -> Value {
    json!({
        "type": "Cluster",
        "api_version": "federation/v1",
        "metadata": {"name": "alpha"},
        "spec": {"api_urls": ["https://a.example.com:8080", "https://b.example.com:8080"]},
    })
}

fn replicator() -> Value {
    json!({
        "type": "EtcdReplicator",
        "api_version": "federation/v1",
        "metadata": {"name": "alpha"},
        "spec": {"url": "https://a:2379,https://b:2379", "resource": "ClusterRole"},
    })
}

fn parse(kind: Kind, value: &Value) -> Result<Checked, String> {
    Checked::parse(kind, Some("alpha"), value.to_string().as_bytes()).map_err(|e| e.to_string())
}

/// The field that is named when the value at this place is replaced; a `Value::Null` takes it out.
fn refused(kind: Kind, place: &str, value: &Value) -> String {
    let mut body = if kind == Kind::Cluster { cluster() } else { replicator() };
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(key.to_owned(), value.clone());
    let text = parse(kind, &body).expect_err(&format!("{place} = {value}"));
    text.split_once(": ").unwrap().0.to_owned()
}

#[test]
fn every_field_of_a_cluster_is_checked_and_named() {
    let many: Vec<_> = (0..65).map(|n| format!("https://h{n}")).collect();
    let cases = [
        ("/type", json!("EtcdReplicator"), "type"),
        ("/type", json!("cluster"), "type"),
        ("/type", json!(1), "type"),
        ("/type", Value::Null, "type"),
        ("/api_version", json!("core/v2"), "api_version"),
        ("/api_version", json!(["federation/v1"]), "api_version"),
        ("/api_version", Value::Null, "api_version"),
        ("/extra", json!(1), "extra"),
        ("/", json!(1), "\"\""),
        ("/two words", json!(1), "\"two words\""),
        ("/\u{1b}[2J", json!(1), "\"\\u{1b}[2J\""),
        ("/metadata/", json!(1), "metadata.\"\""),
        ("/metadata/labels", json!({"": 1}), "metadata.labels.\"\""),
        ("/metadata/labels", json!({"a b": 1}), "metadata.labels.\"a b\""),
        ("/metadata", json!([]), "metadata"),
        ("/metadata", Value::Null, "metadata"),
        ("/metadata/name", json!("beta"), "metadata.name"),
        ("/metadata/name", json!(""), "metadata.name"),
        ("/metadata/name", json!(1), "metadata.name"),
        ("/metadata/name", json!("a b"), "metadata.name"),
        ("/metadata/name", json!("Local-Cluster"), "metadata.name"),
        ("/metadata/name", json!("a:b"), "metadata.name"),
        ("/metadata/name", json!(".."), "metadata.name"),
        ("/metadata/namespace", json!("default"), "metadata.namespace"),
        ("/metadata/labels", json!("x"), "metadata.labels"),
        ("/metadata/labels", json!({"a": 1}), "metadata.labels.a"),
        ("/metadata/labels", json!({"fedgate/source": "config"}), "metadata.labels.fedgate/source"),
        ("/metadata/annotations", json!([]), "metadata.annotations"),
        ("/metadata/annotations", json!({"a": null}), "metadata.annotations.a"),
        ("/metadata/created_by", json!(1), "metadata.created_by"),
        ("/metadata/uid", json!("x"), "metadata.uid"),
        ("/spec", json!("x"), "spec"),
        ("/spec", Value::Null, "spec"),
        ("/spec/api_url", json!([]), "spec.api_url"),
        ("/spec/api_urls", Value::Null, "spec.api_urls"),
        ("/spec/api_urls", json!("https://a"), "spec.api_urls"),
        ("/spec/api_urls", json!([]), "spec.api_urls"),
        ("/spec/api_urls", json!(many), "spec.api_urls"),
        ("/spec/api_urls", json!(["https://a", 1]), "spec.api_urls[1]"),
        ("/spec/api_urls", json!(["https://a", "b:8080"]), "spec.api_urls[1]"),
        ("/spec/api_urls", json!(["ftp://a"]), "spec.api_urls[0]"),
        ("/spec/api_urls", json!(["https://a/api"]), "spec.api_urls[0]"),
        ("/spec/api_urls", json!(["https://a?x"]), "spec.api_urls[0]"),
        ("/spec/api_urls", json!(["https://u:p@a"]), "spec.api_urls[0]"),
        ("/spec/api_urls", json!(["https://a:0"]), "spec.api_urls[0]"),
        ("/spec/ca_cert", json!(1), "spec.ca_cert"),
        ("/spec/cert", json!("/c.pem"), "spec.key"),
        ("/spec/cert", json!(true), "spec.cert"),
        ("/spec/key", json!("/k.pem"), "spec.cert"),
        ("/spec/key", json!({}), "spec.key"),
        ("/spec/insecure", json!("true"), "spec.insecure"),
        ("/spec/url", json!("https://a"), "spec.url"),
    ];
    for (place, value, field) in cases {
        assert_eq!(refused(Kind::Cluster, place, &value), field, "{place} = {value}");
    }
}

#[test]
fn every_field_of_a_replicator_is_checked_and_named() {
    let cases = [
        ("/type", json!("Cluster"), "type"),
        ("/metadata/name", json!("a/b"), "metadata.name"),
        ("/spec/url", Value::Null, "spec.url"),
        ("/spec/url", json!(""), "spec.url"),
        ("/spec/url", json!(["https://a"]), "spec.url"),
        ("/spec/url", json!("https://a,"), "spec.url"),
        ("/spec/url", json!("https://a,b:2379"), "spec.url"),
        ("/spec/url", json!("https://a/v3"), "spec.url"),
        ("/spec/url", json!(vec!["https://a"; 65].join(",")), "spec.url"),
        ("/spec/ca_cert", json!([]), "spec.ca_cert"),
        ("/spec/cert", json!("/c.pem"), "spec.key"),
        ("/spec/key", json!("/k.pem"), "spec.cert"),
        ("/spec/insecure", json!(0), "spec.insecure"),
        ("/spec/api_version", json!("core/v3"), "spec.api_version"),
        ("/spec/api_version", json!(2), "spec.api_version"),
        ("/spec/resource", Value::Null, "spec.resource"),
        ("/spec/resource", json!("Roles"), "spec.resource"),
        ("/spec/resource", json!("Event"), "spec.resource"),
        ("/spec/resource", json!(1), "spec.resource"),
        ("/spec/namespace", json!("dev"), "spec.namespace"),
        ("/spec/namespace", json!(1), "spec.namespace"),
        ("/spec/replication_interval_seconds", json!(0), "spec.replication_interval_seconds"),
        ("/spec/replication_interval_seconds", json!(-1), "spec.replication_interval_seconds"),
        ("/spec/replication_interval_seconds", json!(1.5), "spec.replication_interval_seconds"),
        ("/spec/replication_interval_seconds", json!("30"), "spec.replication_interval_seconds"),
        ("/spec/replication_interval_seconds", json!(u64::MAX), "spec.replication_interval_seconds"),
        ("/spec/api_urls", json!([]), "spec.api_urls"),
    ];
    for (place, value, field) in cases {
        assert_eq!(refused(Kind::EtcdReplicator, place, &value), field, "{place} = {value}");
    }
}

#[test]
fn what_is_no_object_is_refused_as_a_body() {
    for bad in ["", "{", "[]", "null", "1", "{} {}", "\u{feff}{}", &"[".repeat(100_000)] {
        let error = Checked::parse(Kind::Cluster, Some("alpha"), bad.as_bytes()).unwrap_err();
        assert_eq!(error.field, "body");
    }
    assert_eq!(Checked::parse(Kind::Cluster, None, b"\xff").unwrap_err().field, "body");
}

#[test]
fn long_nonsense_is_not_echoed_at_length() {
    let mut body = cluster();
    body["spec"]["x".repeat(100_000)] = json!(1);
    assert!(parse(Kind::Cluster, &body).unwrap_err().len() < 300);
}

#[test]
fn a_cluster_is_echoed_as_sent() {
    let mut body = cluster();
    body["metadata"]["labels"] = json!({"region": "eu"});
    body["spec"]["insecure"] = json!(false);
    let checked = parse(Kind::Cluster, &body).unwrap();
    assert_eq!(String::from_utf8(checked.to_json()).unwrap(), body.to_string());
    assert_eq!(Checked::parse(Kind::Cluster, None, &checked.to_json()), Ok(checked.clone()));
    assert_eq!(
        parse(Kind::Cluster, &cluster()).unwrap().resource.spec,
        *cluster()["spec"].as_object().unwrap()
    );
    let Spec::Cluster(spec) = &checked.spec else { panic!() };
    assert_eq!(spec.backends[1].to_string(), "https://b.example.com:8080");
    assert_eq!(checked.cluster().unwrap().source, Source::Api);
}

#[test]
fn a_replicator_shows_its_defaults_and_keeps_its_url() {
    let mut body = replicator();
    body["spec"]["url"] = json!("http://b:2379, http://a:2379");
    let checked = parse(Kind::EtcdReplicator, &body).unwrap();
    assert_eq!(Checked::parse(Kind::EtcdReplicator, None, &checked.to_json()), Ok(checked.clone()));
    let expected = json!({
        "url": "http://b:2379, http://a:2379", "resource": "ClusterRole", "insecure": false, "api_version": "core/v2",
        "replication_interval_seconds": 30,
    });
    assert_eq!(Value::Object(checked.resource.spec), expected);
    let Spec::EtcdReplicator(spec) = checked.spec else { panic!() };
    assert_eq!(
        spec.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["http://b:2379", "http://a:2379"]
    );
    assert_eq!(spec.interval, Duration::from_secs(30));
}

#[test]
fn nulls_and_empty_texts_count_as_not_sent() {
    let mut body = replicator();
    for key in ["ca_cert", "cert", "key", "namespace", "insecure"] {
        body["spec"][key] = Value::Null;
    }
    body["metadata"]["labels"] = Value::Null;
    let checked = parse(Kind::EtcdReplicator, &body).unwrap();
    assert_eq!(checked.resource.spec["insecure"], json!(false));
    assert!(!checked.resource.spec.contains_key("ca_cert"));
    body["spec"]["ca_cert"] = json!("");
    let checked = parse(Kind::EtcdReplicator, &body).unwrap();
    assert_eq!(checked.resource.spec["ca_cert"], json!(""));
    assert_eq!(checked.spec.files().count(), 0);
}

#[test]
fn only_namespaced_types_can_be_narrowed() {
    let mut body = replicator();
    body["spec"]["resource"] = json!("Role");
    body["spec"]["namespace"] = json!("dev");
    assert!(parse(Kind::EtcdReplicator, &body).is_ok());
}

#[test]
fn what_a_replicator_copies_cannot_change() {
    let old = parse(Kind::EtcdReplicator, &replicator()).unwrap();
    let mut body = replicator();
    body["spec"]["url"] = json!("https://c");
    let new = parse(Kind::EtcdReplicator, &body).unwrap();
    assert_eq!(new.may_replace(&old), Ok(()));
    body["spec"]["resource"] = json!("Role");
    let new = parse(Kind::EtcdReplicator, &body).unwrap();
    assert_eq!(new.may_replace(&old).unwrap_err().field, "spec.resource");
}

#[test]
fn a_configured_cluster_looks_like_a_registered_one_with_a_label() {
    let mut cluster = super::cluster("gamma", Source::Config);
    cluster.tls.trusted_ca_file = Some("/ca.pem".into());
    let expected = json!({
        "type": "Cluster",
        "api_version": "federation/v1",
        "metadata": {"name": "gamma", "labels": {"fedgate/source": "config"}},
        "spec": {"api_urls": ["https://gamma.example.com:443"], "ca_cert": "/ca.pem"},
    });
    assert_eq!(serde_json::to_value(of_config(&cluster)).unwrap(), expected);
}

#[test]
fn a_url_that_is_given_twice_is_one_backend_and_echoed_twice() {
    let mut body = cluster();
    let urls = json!(["https://a:8080", "HTTPS://a:8080/", "https://b"]);
    body["spec"]["api_urls"] = urls.clone();
    let checked = parse(Kind::Cluster, &body).unwrap();
    assert_eq!(checked.cluster().unwrap().backends.len(), 2);
    assert_eq!(checked.resource.spec["api_urls"], urls);
}
