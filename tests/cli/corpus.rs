//! A corpus of files, and what sensuctl and a backend made of each: fedgate makes the same of them.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use http::Method;
use serde_json::{Map, Value, json};

use crate::{server::Server, user::User};

const KINDS: &str = "asset,check,entity,filter,handler,hook,mutator,pipeline,role,role-binding,silenced";
/// The namespace that the expectations name.
const NAMESPACE: &str = "corpus";

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/cli-corpus")
}

fn files() -> Vec<(String, String)> {
    let entries = fs::read_dir(corpus().join("files")).unwrap();
    let mut files: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), path.to_str().unwrap().to_owned())
        })
        .collect();
    files.sort();
    files
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&fs::read(corpus().join(name)).unwrap()).unwrap()
}

/// What a namespace holds, by collection and name, without what the time and the user decide.
fn objects(user: &User, namespace: &str) -> Map<String, Value> {
    let dump = user.ok(&["dump", KINDS, "--namespace", namespace, "--format", "wrapped-json"]);
    let dump =
        dump.replace(&format!("\"namespace\": \"{namespace}\""), &format!("\"namespace\": \"{NAMESPACE}\""));
    let found = serde_json::Deserializer::from_str(&dump).into_iter::<Value>().map(Result::unwrap);
    let collections = BTreeMap::from([
        ("Asset", "assets"),
        ("CheckConfig", "checks"),
        ("Entity", "entities"),
        ("EventFilter", "filters"),
        ("Handler", "handlers"),
        ("HookConfig", "hooks"),
        ("Mutator", "mutators"),
        ("Pipeline", "pipelines"),
        ("Role", "roles"),
        ("RoleBinding", "rolebindings"),
        ("Silenced", "silenced"),
    ]);
    // Every namespace has these from its beginning.
    let found = found.filter(|item| item["metadata"]["name"] != "system:pipeline");
    found
        .map(|mut item| {
            let collection = collections[item["type"].as_str().unwrap()];
            let mut object = item["spec"].take();
            object["metadata"] = item["metadata"].take();
            let clocked: &[&str] =
                if collection == "silenced" { &["begin", "expire", "expire_at", "creator"] } else { &[] };
            for key in clocked {
                object.as_object_mut().unwrap().remove(*key);
            }
            object["metadata"].as_object_mut().unwrap().remove("created_by");
            (format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap()), object)
        })
        .collect()
}

#[test]
fn every_file_makes_the_objects_that_sensuctl_makes_of_it() {
    let server = Server::start();
    let user = User::of(&server);
    let (expected, apart) = (read("expected.json"), read("apart.json"));
    let files = files();
    assert_eq!(files.len(), expected.as_object().unwrap().len(), "every file has been recorded");
    let mut wrong = Vec::new();
    for (number, (name, path)) in files.iter().enumerate() {
        let namespace = format!("n{number}");
        let target = format!("/api/core/v2/namespaces/{namespace}");
        server.sensu.apply(&Method::PUT, &target, &json!({"name": namespace}));
        let done = user.run(&["create", "--namespace", &namespace, "-f", path]);
        let applied = done.code == Some(0);
        if let Some(apart) = apart.get(name) {
            assert_eq!(Value::from(applied), apart["applied"], "{name}: {}", done.stderr);
            assert!(!apart["reason"].as_str().unwrap().is_empty());
            continue;
        }
        let found = Value::from(objects(&user, &namespace));
        if applied != expected[name]["applied"] || found != expected[name]["objects"] {
            wrong.push(format!("{name}: {}\n{found}\n{}", done.stderr, expected[name]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "writes to a Sensu backend that the environment names, with the sensuctl that it names"]
fn record_the_corpus() {
    let set = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (sensuctl, url, password) =
        (set("FEDGATE_TEST_SENSUCTL"), set("FEDGATE_TEST_URL"), set("FEDGATE_TEST_PASSWORD"));
    let mut user = User::without_login();
    user.set("FEDGATE_PASSWORD", &password);
    user.set("SENSU_API_URL", &url);
    user.set("SENSU_TRUSTED_CA_FILE", &set("FEDGATE_TEST_CA"));
    let home = user.home().to_owned();
    let run = |args: &[&str]| Command::new(&sensuctl).args(args).env("HOME", &home).output().unwrap();
    let log_in = || {
        let ca = set("FEDGATE_TEST_CA");
        let login = ["--username", "admin", "--password", &password, "--trusted-ca-file", &ca];
        assert!(run(&[&["configure", "-n", "--url", &url], &login[..]].concat()).status.success());
    };
    let mut recorded = Map::new();
    for (number, (name, path)) in files().iter().enumerate() {
        // Its tokens are short-lived.
        if number % 100 == 0 {
            log_in();
        }
        run(&["namespace", "create", NAMESPACE]);
        let applied = run(&["--namespace", NAMESPACE, "create", "-f", path]).status.success();
        let found = objects(&user, NAMESPACE);
        let dump = user.ok(&["dump", KINDS, "--namespace", NAMESPACE]);
        assert_eq!(user.run_with(&["delete"], &dump).code, Some(0));
        recorded.insert(name.clone(), json!({"applied": applied, "objects": found}));
    }
    let lines: Vec<String> = recorded.iter().map(|(name, it)| format!("{name:?}: {it}")).collect();
    fs::write(corpus().join("expected.json"), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}
