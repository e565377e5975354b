//! Every configuration in `config/` works. Those in Markdown files are checked in `tests/docs`.

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
fn every_file_in_config_is_accepted() {
    let mut seen = 0;
    for entry in fs::read_dir(root_dir().join("config")).unwrap() {
        let path = entry.unwrap().path();
        // Prometheus' own is tested with Prometheus' own tool.
        let is_ours = !path.ends_with("alerts.yaml");
        if is_ours && path.extension().is_some_and(|extension| extension == "yaml") {
            let root = config::load(&path, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
            assert!(!root.snapshot().is_empty());
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} files");
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
