//! `config/kubernetes.yaml`. Where `kubernetes-validate` is installed (a Python package that has Kubernetes' own schemas), it
//! validates the file too.

use std::{collections::BTreeMap, path::Path, process::Command};

use fedgate::config::{self, Root};
use serde_json::{Value, json};

use super::{USER, is_accepted, read, strings, yaml};

fn objects() -> Vec<Value> {
    read("config/kubernetes.yaml").split("\n---\n").map(yaml).collect()
}

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{kind} {name}"))
}

fn gateway(objects: &[Value]) -> Root {
    let text = object(objects, "ConfigMap", "fedgate")["data"]["fedgate.yaml"].as_str().unwrap();
    config::parse(text, "kubernetes.yaml", &BTreeMap::new()).unwrap()
}

fn pod(objects: &[Value]) -> &Value {
    &object(objects, "Deployment", "fedgate")["spec"]["template"]["spec"]
}

#[test]
fn kubernetes_schemas_accept_the_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes.yaml");
    let Ok(output) = Command::new("kubernetes-validate").arg("--strict").arg(file).output() else {
        println!("skipped: kubernetes-validate is not installed (pip install kubernetes-validate)");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_object_has_its_api_and_what_selects_pods_selects_these() {
    let objects = objects();
    let labels = json!({ "app.kubernetes.io/name": "fedgate" });
    for object in &objects {
        let api = match object["kind"].as_str().unwrap() {
            "Deployment" => "apps/v1",
            "PodDisruptionBudget" => "policy/v1",
            "ConfigMap" | "Secret" | "Service" | "ServiceAccount" => "v1",
            kind => panic!("{kind} is not known here"),
        };
        assert_eq!(object["apiVersion"], api);
        assert_eq!(object["metadata"]["labels"], labels);
    }
    let deployment = &object(&objects, "Deployment", "fedgate")["spec"];
    assert_eq!(deployment["replicas"], 2);
    assert_eq!(deployment["strategy"]["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }));
    assert_eq!(deployment["template"]["metadata"]["labels"], labels);
    assert_eq!(deployment["selector"]["matchLabels"], labels);
    assert_eq!(object(&objects, "Service", "fedgate")["spec"]["selector"], labels);
    let budget = &object(&objects, "PodDisruptionBudget", "fedgate")["spec"];
    assert_eq!((&budget["minAvailable"], &budget["selector"]["matchLabels"]), (&json!(1), &labels));
    object(&objects, "ServiceAccount", pod(&objects)["serviceAccountName"].as_str().unwrap());
}

#[test]
fn the_pod_runs_the_configuration_and_mounts_every_file_that_it_names() {
    let objects = objects();
    let (root, pod) = (gateway(&objects), pod(&objects));
    let container = &pod["containers"][0];
    is_accepted(&strings(&container["args"]));
    assert!(!root.store.etcd.endpoints.is_empty(), "two gateways cannot share a file");
    // Each mounted directory, and the names of the files in it.
    let mut mounted = BTreeMap::new();
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
        let files = match (volume["configMap"]["name"].as_str(), volume["secret"]["secretName"].as_str()) {
            (Some(name), _) => &object(&objects, "ConfigMap", name)["data"],
            (_, Some(name)) => {
                assert_eq!(volume["secret"]["defaultMode"], 0o440, "for the group that fsGroup sets");
                &object(&objects, "Secret", name)["stringData"]
            }
            _ => panic!("{volume}"),
        };
        assert_eq!(mount["readOnly"], true);
        mounted.insert(mount["mountPath"].as_str().unwrap(), files.as_object().unwrap());
    }
    // A directory cannot be mounted in another one that is read-only.
    for (one, other) in mounted.keys().flat_map(|one| mounted.keys().map(move |other| (one, other))) {
        assert!(one == other || !Path::new(one).starts_with(other), "{one} in {other}");
    }
    let text = serde_json::to_value(&root).unwrap();
    let mut files = vec![Path::new("/etc/fedgate/fedgate.yaml").to_owned()];
    collect_files(&text, &mut files);
    assert!(files.len() > 6, "{files:?}");
    for file in files.iter().filter(|file| *file != &Root::default().store.embedded.path) {
        let directory = file.parent().unwrap().to_str().unwrap();
        let names = mounted.get(directory).unwrap_or_else(|| panic!("{} is not mounted", file.display()));
        assert!(names.contains_key(file.file_name().unwrap().to_str().unwrap()), "{}", file.display());
    }
}

/// Every absolute path in a configuration.
fn collect_files(value: &Value, files: &mut Vec<std::path::PathBuf>) {
    match value {
        Value::String(text) if text.starts_with('/') && text.contains('.') => files.push(text.into()),
        Value::Array(items) => items.iter().for_each(|item| collect_files(item, files)),
        Value::Object(map) => map.values().for_each(|item| collect_files(item, files)),
        _ => {}
    }
}

#[test]
fn the_pod_is_probed_where_it_answers_and_has_time_to_stop() {
    let objects = objects();
    let (root, pod) = (gateway(&objects), pod(&objects));
    let container = &pod["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    let port =
        |name: &Value| ports.iter().find(|port| port["name"] == *name).unwrap()["containerPort"].clone();
    assert_eq!(port(&"https".into()), root.listen.address.port());
    assert_eq!(port(&"admin".into()), root.admin.address.port());
    assert!(!root.admin.address.ip().is_loopback(), "the kubelet asks from outside");
    for (probe, path) in
        [("livenessProbe", "/livez"), ("readinessProbe", "/readyz"), ("startupProbe", "/livez")]
    {
        assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "admin" }), "{probe}");
    }
    let service = &object(&objects, "Service", "fedgate")["spec"]["ports"][0];
    assert_eq!(port(&service["targetPort"]), root.listen.address.port());
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > (root.shutdown.announce + root.shutdown.drain).as_secs());
    let readiness = &container["readinessProbe"];
    let noticed =
        readiness["periodSeconds"].as_u64().unwrap() * readiness["failureThreshold"].as_u64().unwrap();
    assert!(root.shutdown.announce.as_secs() > noticed, "announced until it has been noticed");
}

#[test]
fn the_pod_has_no_rights_that_it_does_not_need() {
    let objects = objects();
    let pod = pod(&objects);
    assert_eq!(
        pod["securityContext"],
        json!({
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        })
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(pod["containers"][0]["resources"]["limits"]["memory"].is_string());
}
