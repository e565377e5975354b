//! Every configuration that we hand out works: the files in `config/` and the YAML blocks of the README.

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

/// The ```` ```yaml ```` blocks of a Markdown text, each with the number of its first line.
fn yaml_blocks(markdown: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open = None;
    for (index, line) in markdown.lines().enumerate() {
        match (&mut open, line.trim_end()) {
            (None, "```yaml") => open = Some((index + 2, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn every_file_in_config_is_accepted() {
    let mut seen = 0;
    for entry in fs::read_dir(root_dir().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
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

#[test]
fn the_readme_table_names_every_key() {
    let readme = fs::read_to_string(root_dir().join("README.md")).unwrap();
    for key in config::known_keys() {
        assert!(readme.contains(&format!("`{key}`")), "the README's table lacks `{key}`");
    }
}

#[test]
fn every_yaml_block_of_the_readme_is_accepted() {
    let readme = fs::read_to_string(root_dir().join("README.md")).unwrap();
    let mut configurations = 0;
    for (line, block) in yaml_blocks(&readme) {
        let document: serde_json::Value =
            serde_saphyr::from_str(&block).unwrap_or_else(|e| panic!("README.md:{line}: {e}"));
        let has = |key: &str| document.get(key).is_some();
        if has("type") || has("api_version") {
            assert!(
                has("type") && has("api_version") && has("metadata"),
                "README.md:{line}: half a resource"
            );
        } else if has("listen") || has("local-cluster") {
            config::parse(&block, &format!("README.md block at line {line}"), &BTreeMap::new())
                .unwrap_or_else(|e| panic!("{e}"));
            // The one that is said to be the file is the file, but for its comment.
            let file = fs::read_to_string(root_dir().join("config/minimal.yaml")).unwrap();
            assert!(file.ends_with(&block), "README.md:{line}: differs from config/minimal.yaml");
            configurations += 1;
        }
    }
    assert_eq!(configurations, 1, "the README shows one configuration");
}
