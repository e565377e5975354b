//! Every configuration in `config/` works. Those in Markdown files are checked in `tests/docs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use fedgate::config::{self, Root};

fn root_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn load(name: &str) -> Root {
    config::load(&root_dir().join("config").join(name), &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"))
}

/// The keys that a YAML text writes, comments left out, in the spelling of [`config::known_keys`].
fn written_keys(yaml: &str) -> Vec<String> {
    let mut sections: Vec<(usize, String)> = Vec::new();
    let mut keys = Vec::new();
    for line in yaml.lines() {
        let text = line.trim_start();
        let Some((key, _)) = text.split_once(':').filter(|_| !text.starts_with('#')) else { continue };
        let indent = line.len() - text.len();
        sections.retain(|(depth, _)| *depth < indent);
        sections.push((indent, key.to_owned()));
        keys.push(sections.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("."));
    }
    keys
}

#[test]
fn every_configuration_is_accepted() {
    for name in CONFIGURATIONS {
        assert!(!load(name).snapshot().is_empty(), "{name}");
    }
}

/// What is for other programs has tests that name it.
#[test]
fn every_other_file_has_a_test_of_its_own() {
    let mut tests = Vec::new();
    collect(&root_dir().join("tests"), &mut tests);
    let tests: String = tests
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.ends_with("tests/config_files.rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut files = Vec::new();
    collect(&root_dir().join("config"), &mut files);
    assert!(files.len() > 6, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(CONFIGURATIONS.contains(&name) || tests.contains(name), "no test reads {}", file.display());
    }
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

#[test]
fn the_full_file_has_the_defaults() {
    let mut full = load("fedgate.yaml");
    // What has no default.
    assert!(full.listen.cert_file.take().is_some());
    assert!(full.listen.key_file.take().is_some());
    assert!(!std::mem::take(&mut full.auth.jwt_public_key_files).is_empty());
    assert!(!std::mem::take(&mut full.local_cluster.api_urls).is_empty());
    assert_eq!(full, Root::default());
}

#[test]
fn the_full_file_names_every_key() {
    let text = fs::read_to_string(root_dir().join("config/fedgate.yaml")).unwrap();
    let written = written_keys(&text);
    for key in config::known_keys() {
        match key.strip_prefix("clusters[].") {
            // The items of the empty list are shown in a comment.
            Some(name) => {
                let shown = text.lines().any(|line| {
                    line.starts_with('#')
                        && line.trim_start_matches(['#', ' ', '-']).starts_with(&format!("{name}:"))
                });
                assert!(shown, "no comment shows {key}");
            }
            None => assert!(written.contains(key), "{key} is not written"),
        }
    }
}

/// The gateway's own.
const CONFIGURATIONS: [&str; 3] = ["dev.yaml", "fedgate.yaml", "minimal.yaml"];
