//! A corpus of files, and what sensuctl and a backend made of each: created, then deleted. fedgate makes the same of them.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use http::Method;
use serde_json::{Map, Value, json};

use crate::{server::Server, user::User};

const KINDS: &str = "asset,check,entity,filter,handler,hook,mutator,pipeline,role,role-binding,silenced";
const COLLECTIONS: [(&str, &str); 11] = [
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
];
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

/// What a namespace holds, by collection and name.
type Objects = Map<String, Value>;

/// A resource without what the time and the user decide, and how it is called here. Every namespace has the pipeline's role
/// from its beginning.
fn settled(collection: &str, namespace: &str, mut object: Value) -> Option<(String, Value)> {
    let clocked: &[&str] =
        if collection == "silenced" { &["begin", "expire", "expire_at", "creator"] } else { &[] };
    for key in clocked {
        object.as_object_mut().unwrap().remove(*key);
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("created_by");
    if metadata["namespace"] == namespace {
        metadata["namespace"] = NAMESPACE.into();
    }
    let name = metadata["name"].as_str().unwrap().to_owned();
    (name != "system:pipeline").then(|| (format!("{collection}/{name}"), object))
}

/// What a namespace of the double holds.
fn of_double(server: &Server, tokens: &Value, namespace: &str) -> Objects {
    let items = COLLECTIONS.iter().flat_map(|(_, collection)| {
        let found = server.read(&format!("/api/core/v2/namespaces/{namespace}/{collection}"), tokens);
        let items = found.as_array().cloned().unwrap_or_default();
        items.into_iter().map(move |item| (*collection, item))
    });
    items.filter_map(|(collection, item)| settled(collection, namespace, item)).collect()
}

/// What a namespace of a backend holds.
fn of_backend(user: &User) -> Objects {
    let dump = user.ok(&["dump", KINDS, "--namespace", NAMESPACE, "--format", "wrapped-json"]);
    let found = serde_json::Deserializer::from_str(&dump).into_iter::<Value>().map(Result::unwrap);
    let named = found.filter_map(|mut item| {
        let (_, collection) = COLLECTIONS.iter().find(|(name, _)| item["type"] == **name).unwrap();
        let mut object = item["spec"].take();
        object["metadata"] = item["metadata"].take();
        settled(collection, NAMESPACE, object)
    });
    named.collect()
}

/// What a client made of a file: whether it was applied and which objects there were then, whether it was deleted and what
/// was left beside one bystander of each kind, which the file does not name.
fn observe(objects: impl Fn() -> Objects, seed: impl Fn(), mut client: impl FnMut(&str) -> bool) -> Value {
    let applied = client("create");
    let made = objects();
    seed();
    let before = objects();
    let deleted = client("delete");
    let after = objects();
    let gone = |name: &&String| !after.contains_key(*name);
    let left: Vec<&String> = made.keys().filter(|name| !gone(name)).collect();
    let lost: Vec<&String> = before.keys().filter(|name| gone(name) && !made.contains_key(*name)).collect();
    sorted(json!({"applied": applied, "objects": made, "deleted": deleted, "left": left, "lost": lost}))
}

/// The bystanders, each with its path.
fn bystanders() -> Vec<(String, Value)> {
    let text = fs::read_to_string(corpus().join("bystanders.yaml")).unwrap();
    let documents = text.split("\n---\n").map(|document| {
        let mut item: Value = serde_saphyr::from_str(document).unwrap();
        let (_, collection) = COLLECTIONS.iter().find(|(name, _)| item["type"] == **name).unwrap();
        let mut object = item["spec"].take();
        object["metadata"] = item["metadata"].take();
        let name = object["metadata"]["name"].as_str().unwrap();
        (format!("/api/core/v2/namespaces/{NAMESPACE}/{collection}/{name}"), object)
    });
    documents.collect()
}

/// With the keys of every object in order, so that what is recorded anew differs only where it differs.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let ordered: BTreeMap<String, Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            ordered.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Whether what fedgate made of a file is what is recorded; else how they differ.
fn compare(name: &str, found: &Value, expected: &Value, apart: &Value) -> Result<(), String> {
    let apart = &apart[name];
    let mut wanted = expected[name].clone();
    if apart.is_object() {
        assert!(!apart["reason"].as_str().unwrap().is_empty());
        for (key, value) in apart.as_object().unwrap().iter().filter(|(key, _)| *key != "reason") {
            wanted[key] = value.clone();
        }
    }
    // Where fedgate applies what sensuctl does not, only that is recorded.
    let keys = if apart["applied"].is_boolean() {
        &["applied"][..]
    } else {
        &["applied", "objects", "deleted", "left", "lost"]
    };
    if keys.iter().all(|key| found[*key] == wanted[*key]) {
        return Ok(());
    }
    Err(format!("{name}:\n{found}\n{wanted}"))
}

#[test]
fn every_file_makes_and_deletes_the_objects_that_sensuctl_does() {
    let server = Server::start();
    let user = User::of(&server);
    let (expected, apart) = (read("expected.json"), read("apart.json"));
    let (files, tokens, bystanders) = (files(), server.log_in(), bystanders());
    assert_eq!(files.len(), expected.as_object().unwrap().len(), "every file has been recorded");
    let mut wrong = Vec::new();
    for (number, (name, path)) in files.iter().enumerate() {
        let namespace = format!("n{number}");
        let target = format!("/api/core/v2/namespaces/{namespace}");
        server.sensu.apply(&Method::PUT, &target, &json!({"name": namespace}));
        let objects = || of_double(&server, &tokens, &namespace);
        let seed = || {
            for (target, object) in &bystanders {
                let target = target.replace(NAMESPACE, &namespace);
                let mut object = object.clone();
                object["metadata"]["namespace"] = namespace.as_str().into();
                assert!(server.sensu.apply(&Method::PUT, &target, &object).is_success(), "{target}");
            }
        };
        let found = observe(objects, seed, |verb| {
            user.run(&[verb, "--namespace", &namespace, "-f", path]).code == Some(0)
        });
        wrong.extend(compare(name, &found, &expected, &apart).err());
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A backend that may be written to.
struct Backend {
    url: String,
    ca: String,
    password: String,
    /// fedgate's user there.
    user: User,
}

// === impl Backend ===

impl Backend {
    fn of_environment() -> Self {
        let [url, ca, password] = ["FEDGATE_TEST_URL", "FEDGATE_TEST_CA", "FEDGATE_TEST_PASSWORD"].map(set);
        let mut user = User::without_login();
        user.set("FEDGATE_PASSWORD", &password);
        let backend = Self { url, ca, password, user };
        backend.log_in(&set("FEDGATE_TEST_SENSUCTL"));
        backend
    }

    /// Its tokens are short-lived.
    fn log_in(&self, sensuctl: &str) {
        let login = ["--username", "admin", "--password", &self.password, "--trusted-ca-file", &self.ca];
        let done = self.sensuctl(sensuctl, &[&["configure", "-n", "--url", &self.url], &login[..]].concat());
        assert!(done, "sensuctl cannot log in");
    }

    fn sensuctl(&self, sensuctl: &str, args: &[&str]) -> bool {
        Command::new(sensuctl).args(args).env("HOME", self.user.home()).output().unwrap().status.success()
    }

    /// What a client makes of every file, in a namespace that is empty before each.
    fn observe_all(&self, mut client: impl FnMut(&str, &str) -> bool) -> Map<String, Value> {
        let namespace = json!({"type": "Namespace", "metadata": {}, "spec": {"name": NAMESPACE}}).to_string();
        let bystanders = corpus().join("bystanders.yaml");
        let mut all = Map::new();
        for (number, (name, path)) in files().iter().enumerate() {
            if number % 100 == 0 {
                self.log_in(&set("FEDGATE_TEST_SENSUCTL"));
            }
            assert_eq!(self.user.run_with(&["create"], &namespace).code, Some(0));
            let objects = || of_backend(&self.user);
            let seed = || {
                self.user.ok(&["create", "--namespace", NAMESPACE, "-f", bystanders.to_str().unwrap()]);
            };
            let found = observe(objects, seed, |verb| client(verb, path));
            let dump = self.user.ok(&["dump", KINDS, "--namespace", NAMESPACE]);
            assert_eq!(self.user.run_with(&["delete"], &dump).code, Some(0));
            all.insert(name.clone(), found);
        }
        all
    }
}

fn set(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

#[test]
#[ignore = "writes to a Sensu backend that the environment names, with the sensuctl that it names"]
fn record_the_corpus() {
    let (backend, sensuctl) = (Backend::of_environment(), set("FEDGATE_TEST_SENSUCTL"));
    let recorded = backend
        .observe_all(|verb, path| backend.sensuctl(&sensuctl, &["--namespace", NAMESPACE, verb, "-f", path]));
    let lines: Vec<String> = recorded.iter().map(|(name, it)| format!("{name:?}: {it}")).collect();
    fs::write(corpus().join("expected.json"), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}

#[test]
#[ignore = "writes to a Sensu backend that the environment names"]
fn the_corpus_holds_on_a_backend() {
    let backend = Backend::of_environment();
    let (expected, mut apart) = (read("expected.json"), read("apart.json"));
    // Where only the double goes its own way, a backend does as sensuctl expects.
    apart.as_object_mut().unwrap().retain(|_, it| it["double"] != true);
    let found = backend.observe_all(|verb, path| {
        backend.user.run(&[verb, "--namespace", NAMESPACE, "-f", path]).code == Some(0)
    });
    let wrong = found.iter().filter_map(|(name, found)| compare(name, found, &expected, &apart).err());
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
