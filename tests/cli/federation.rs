//! Clusters and replicators: the files of the federation guide, and what comes back.

use crate::{server::Server, user::User};

/// As a guide prints it.
const CLUSTERS: &str = "\
---
type: Cluster
api_version: federation/v1
metadata:
  name: us-west-1a
spec:
  api_urls:
  - https://sensu.alpha.example.com:8080
  - http://10.0.0.1:8080
---
type: Cluster
api_version: federation/v1
metadata:
  name: us-west-2a
spec:
  api_urls:
  - https://sensu.beta.example.com:8080
  insecure: false
";

const REPLICATOR: &str = r#"{
  "type": "EtcdReplicator",
  "api_version": "federation/v1",
  "metadata": { "name": "role_replicator" },
  "spec": {
    "ca_cert": "/etc/sensu/certs/ca.pem",
    "cert": "/etc/sensu/certs/cert.pem",
    "key": "/etc/sensu/certs/key.pem",
    "insecure": false,
    "url": "https://sensu.beta.example.com:2379,https://sensu.gamma.example.com:2379",
    "api_version": "core/v2",
    "resource": "Role",
    "replication_interval_seconds": 60
  }
}
"#;

#[test]
fn the_guides_files_are_created_listed_shown_and_deleted() {
    let server = Server::start();
    let user = User::of(&server);
    let clusters = user.write("clusters.yaml", CLUSTERS);
    let replicator = user.write("replicator.json", REPLICATOR);
    let printed = user.ok(&["create", "-f", &clusters, &replicator]);
    let expected = "applied Cluster \"us-west-1a\"\napplied Cluster \"us-west-2a\"\n\
                    applied EtcdReplicator \"role_replicator\"\n";
    assert_eq!(printed, expected);
    let sent = server.take_asked();
    assert_eq!(sent[0].line(), "PUT /api/enterprise/federation/v1/clusters/us-west-1a");
    assert_eq!(sent[0].header("content-type"), "application/json");
    // Unchanged, wrapped and without a label: configuration management compares it.
    assert_eq!(sent[2].json(), serde_json::from_str::<serde_json::Value>(REPLICATOR).unwrap());

    assert_eq!(
        user.ok(&["list", "cluster"]),
        "\
NAME        API URLS                                                   SOURCE  CREATED BY
from-file   http://127.0.0.1:1                                         config
us-west-1a  https://sensu.alpha.example.com:8080,http://10.0.0.1:8080  api     admin
us-west-2a  https://sensu.beta.example.com:8080                        api     admin
"
    );
    let replicators = user.ok(&["list", "federation/v1.EtcdReplicator"]);
    assert!(replicators.contains("NAME             URL"), "{replicators}");
    assert!(replicators.lines().nth(1).unwrap().ends_with("Role                 60s"), "{replicators}");
    let shown = user.ok(&["info", "cluster", "us-west-1a"]);
    assert!(shown.starts_with("Name:        us-west-1a\nApi urls:    https://sensu.alpha"), "{shown}");
    let yaml = user.ok(&["info", "clusters", "us-west-2a", "--format", "yaml"]);
    let expected = "---\ntype: Cluster\napi_version: federation/v1\nmetadata:\n  name: us-west-2a\n  created_by: admin\n\
                    spec:\n  api_urls:\n  - https://sensu.beta.example.com:8080\n  insecure: false\n";
    assert_eq!(yaml, expected);

    assert_eq!(user.ok(&["delete", "cluster", "us-west-1a"]), "deleted cluster \"us-west-1a\"\n");
    let again = "deleted Cluster \"us-west-2a\"\ngone already: Cluster \"us-west-1a\"\n\
                 deleted 1 resources; 1 were gone already\n";
    let mut lines: Vec<String> = user.ok(&["delete", "-f", &clusters]).lines().map(str::to_owned).collect();
    let mut expected: Vec<&str> = again.lines().collect();
    lines.sort();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(user.fails(&["info", "cluster", "x"], 1), "cluster \"x\": cluster x is not registered");
}

#[test]
fn a_dump_can_be_created_again_and_then_changes_nothing() {
    let server = Server::start();
    let user = User::of(&server);
    let clusters = user.write("clusters.yaml", CLUSTERS);
    let replicator = user.write("replicator.json", REPLICATOR);
    user.ok(&["create", "-f", &clusters, "-f", &replicator]);
    for format in ["yaml", "json"] {
        let before = user.ok(&["list", "cluster", "--format", "json"]);
        let tags = etags(&server, &user);
        let dump = user.run(&["dump", "cluster,etcd-replicator", "--format", format]);
        assert_eq!(dump.code, Some(0));
        assert_eq!(
            dump.line(),
            "left out: cluster \"from-file\", which is in the gateway's configuration file"
        );
        assert!(!dump.stdout.contains("created_by") && !dump.stdout.contains("from-file"), "{}", dump.stdout);
        let again = user.run_with(&["create", "-f", "-"], &dump.stdout);
        assert_eq!((again.code, again.stdout.lines().count()), (Some(0), 3), "{}", again.stderr);
        assert_eq!(user.ok(&["list", "cluster", "--format", "json"]), before);
        assert_eq!(etags(&server, &user), tags, "not even a version has changed");
    }
}

/// The entity tags of what was created, which hold the version.
fn etags(server: &Server, user: &User) -> Vec<String> {
    let token = user.saved()["access_token"].as_str().unwrap().to_owned();
    ["clusters/us-west-1a", "clusters/us-west-2a", "etcd-replicators/role_replicator"]
        .iter()
        .map(|path| {
            let url = format!("{}/api/enterprise/federation/v1/{path}", server.url);
            let header = format!("Authorization: Bearer {token}");
            let output =
                std::process::Command::new("curl").args(["-sfi", "-H", &header, &url]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().find(|line| line.to_lowercase().starts_with("etag:")).unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_refused_file_says_what_was_applied_before_it() {
    let server = Server::start();
    let user = User::of(&server);
    let bad = CLUSTERS.replace("https://sensu.beta.example.com:8080", "sensu.beta.example.com")
        + "---\ntype: Cluster\napi_version: federation/v1\nmetadata: {name: third}\nspec: {api_urls: [\"http://c\"]}\n";
    let file = user.write("clusters.yaml", &bad);
    let done = user.run(&["create", "-f", &file]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), "applied Cluster \"us-west-1a\"\n"));
    let line = done.line();
    assert!(
        line.starts_with("clusters.yaml, document 2 (Cluster \"us-west-2a\"): spec.api_urls[0]: "),
        "{line}"
    );
    assert!(line.ends_with("(applied before it: 1 of 3)"), "{line}");
    assert_eq!(server.take_lines().len(), 2, "the third was not sent");
    let mine = user.write("mine.yaml", &CLUSTERS.replace("us-west-1a", "from-file"));
    let line = user.fails(&["create", "-f", &mine], 1);
    assert!(line.contains("comes from the gateway's configuration file"), "{line}");
}

#[test]
fn a_user_without_permission_is_refused() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("clusters.yaml", CLUSTERS);
    let ann = serde_json::json!({"username": "ann", "password": "P@ssw0rd!", "groups": []});
    server.sensu.apply(&http::Method::PUT, "/api/core/v2/users/ann", &ann);
    let password = user.write("password", "P@ssw0rd!\n");
    let line = user.fails(&["create", "-f", &file, "--user", "ann", "--password-file", &password], 77);
    assert!(line.contains("unauthorized to perform action: ask an administrator"), "{line}");
    let listed = user.ok(&["list", "clusters", "--user", "ann", "--password-file", &password]);
    assert!(listed.contains("from-file"), "{listed}");
}
