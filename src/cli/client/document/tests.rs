use serde_json::json;

use super::*;

fn parse(value: Value) -> Result<Document, String> {
    Document::parse(value, "default").map_err(|error| error.to_string())
}

#[test]
fn what_cannot_be_a_resource_is_said_in_one_line() {
    let cluster = |metadata: Value| json!({"type": "Cluster", "api_version": "federation/v1", "metadata": metadata, "spec": {}});
    for (value, error) in [
        (json!(1), "is not a resource: {type, api_version, metadata, spec} is expected"),
        (json!({"spec": {}}), "has no type"),
        (json!({"type": 1}), "has a type that is not text: put it in quotes"),
        (json!({"type": "Nonsense", "spec": {}}), "unknown type \"Nonsense\" of \"core/v2\""),
        (
            json!({"type": "Cluster", "metadata": {"name": "a"}, "spec": {}}),
            "unknown type \"Cluster\" of \"core/v2\": did you mean api_version federation/v1?",
        ),
        (json!({"type": "Asset", "metadata": {"name": "a"}}), "has no spec"),
        (json!({"type": "Asset", "metadata": [], "spec": {}}), "has a metadata that is not an object"),
        (
            json!({"type": "Asset", "metdata": {}, "spec": {}}),
            "has no metadata.name: is \"metdata\" meant to be metadata?",
        ),
        (cluster(json!({})), "has no metadata.name"),
        (cluster(json!({"name": ""})), "has no metadata.name"),
        (cluster(json!({"name": 7})), "has a metadata.name that is not text: put it in quotes"),
        (cluster(json!({"name": ".."})), "has the name \"..\", which a path cannot hold"),
        (
            json!({"type": "Event", "spec": {"entity": {"metadata": {"name": "e"}}}}),
            "has no spec.check.metadata.name",
        ),
        (json!({"type": "User", "spec": {}}), "has no spec.username"),
        (json!({"type": "Silenced", "spec": {}}), "has no name: give spec.subscription, spec.check or both"),
    ] {
        assert_eq!(parse(value.clone()).unwrap_err(), error, "{value}");
    }
}

#[test]
fn each_kind_finds_its_path_and_its_namespace() {
    for (value, path) in [
        (
            json!({"type": "CheckConfig", "api_version": "core/v2", "metadata": {"name": "cpu"}, "spec": {}}),
            "/api/core/v2/namespaces/default/checks/cpu",
        ),
        (
            json!({"type": "Check", "metadata": {"name": "cpu", "namespace": "ops@alpha"}, "spec": {}}),
            "/api/core/v2/namespaces/ops@alpha/checks/cpu",
        ),
        (json!({"type": "Namespace", "spec": {"name": "ops@alpha"}}), "/api/core/v2/namespaces/ops@alpha"),
        (
            json!({"type": "Namespace", "metadata": {"name": "ops"}, "spec": {}}),
            "/api/core/v2/namespaces/ops",
        ),
        (json!({"type": "User", "spec": {"username": "ann"}}), "/api/core/v2/users/ann"),
        (json!({"type": "TessenConfig", "spec": {"opt_out": true}}), "/api/core/v2/tessen"),
        (
            json!({"type": "Silenced", "spec": {"check": "cpu"}}),
            "/api/core/v2/namespaces/default/silenced/%2A:cpu",
        ),
        (
            json!({"type": "Event", "metadata": {"namespace": "b"}, "spec": {
                "entity": {"metadata": {"name": "e", "namespace": "a"}}, "check": {"metadata": {"name": "c"}}}}),
            "/api/core/v2/namespaces/a/events/e/c",
        ),
        (
            json!({"type": "ClusterRole", "spec": {"metadata": {"name": "view"}, "rules": []}}),
            "/api/core/v2/clusterroles/view",
        ),
    ] {
        assert_eq!(parse(value.clone()).unwrap().path(), path, "{value}");
    }
}

#[test]
fn bodies_are_bare_and_labelled_for_sensu_and_untouched_for_federation() {
    let mut check =
        parse(json!({"type": "CheckConfig", "metadata": {"name": "cpu"}, "spec": {"command": "x"}}));
    check.as_mut().unwrap().label_as_managed();
    let expected = json!({"command": "x", "metadata": {"name": "cpu", "namespace": "default",
        "labels": {"sensu.io/managed_by": "sensuctl"}}});
    assert_eq!(check.unwrap().body(), expected);

    let mut entity = parse(json!({"type": "Entity", "metadata": {"name": "e", "labels":
        {"sensu.io/managed_by": "sensu-agent"}}, "spec": {}}));
    entity.as_mut().unwrap().label_as_managed();
    assert_eq!(entity.unwrap().body()["metadata"]["labels"][MANAGED_BY], "sensu-agent");

    let mut namespace =
        parse(json!({"type": "Namespace", "metadata": {"name": "ops"}, "spec": {"name": "ops"}}));
    namespace.as_mut().unwrap().label_as_managed();
    assert_eq!(namespace.unwrap().body(), json!({"name": "ops"}));

    let cluster = json!({"type": "Cluster", "api_version": "federation/v1", "metadata": {"name": "a"},
        "spec": {"api_urls": ["https://b", "https://a"], "insecure": false}});
    let mut parsed = parse(cluster.clone()).unwrap();
    parsed.label_as_managed();
    assert_eq!(parsed.body().to_string(), cluster.to_string());
}

#[test]
fn dumped_items_lose_what_only_lists_show() {
    let check = Kind::named("check").unwrap();
    let item = json!({"cluster": "alpha", "command": "x", "metadata": {"name": "a", "namespace": "d@alpha"}});
    let dumped = for_dump(check, item);
    let expected = json!({"type": "CheckConfig", "api_version": "core/v2",
        "metadata": {"name": "a", "namespace": "d@alpha"}, "spec": {"command": "x"}});
    assert_eq!(dumped.to_string(), expected.to_string());

    let namespace =
        for_dump(Kind::named("namespace").unwrap(), json!({"cluster": "alpha", "name": "d@alpha"}));
    assert_eq!(parse(namespace).unwrap().body(), json!({"name": "d@alpha"}));

    let cluster = json!({"type": "Cluster", "api_version": "federation/v1",
        "metadata": {"name": "a", "created_by": "admin"}, "spec": {}});
    assert_eq!(for_dump(Kind::named("cluster").unwrap(), cluster)["metadata"], json!({"name": "a"}));
}
