//! Blocks are what they say they are.
//!
//! A YAML block of resources begins with a comment that names a file, `# clusters.yaml`; the page's commands find that file
//! and create what is in it, which is what judges it.

use std::{collections::BTreeMap, fs, path::Path};

use fedgate::config;
use serde_json::Value;

use super::markdown::{Block, Page, pages, root};

/// The keys of Sensu's `backend.yml` that the pages may name.
const BACKEND_KEYS: [&str; 2] = ["jwt-private-key-file", "jwt-public-key-file"];

/// What a configuration needs, in case a block shows a part of one only.
const REQUIRED: [(&str, &str); 3] = [
    ("listen", "listen: { address: \"127.0.0.1:0\" }"),
    ("auth", "auth: { jwt-public-key-files: [/jwt.pem] }"),
    ("local-cluster", "local-cluster: { api-urls: [\"https://sensu.example.com:8080\"] }"),
];

impl Block {
    /// The file that the block is the text of, and that text.
    pub(crate) fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        let is_file = Path::new(name).extension().is_some_and(|extension| extension == "yaml");
        (self.language == "yaml" && is_file).then_some(name)
    }

    /// The documents of a YAML block.
    fn documents(&self, at: &str) -> Vec<Value> {
        let parts = self.text.split("\n---\n");
        parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{at}: {e}"))).collect()
    }
}

/// Every block of a language, each with its place.
fn blocks_of<'a>(pages: &'a [Page], language: &str) -> Vec<(String, &'a Page, &'a Block)> {
    let of = |page: &'a Page| {
        let blocks = page.blocks.iter().filter(|block| block.language == language);
        blocks.map(move |block| (format!("{}:{}", page.name, block.line), page, block))
    };
    pages.iter().flat_map(of).collect()
}

#[test]
fn every_block_has_a_language_that_is_checked() {
    for page in pages() {
        for Block { line, language, .. } in &page.blocks {
            let is_checked = matches!(language.as_str(), "sh" | "yaml" | "json" | "text");
            assert!(is_checked, "{}:{line}: {language:?}", page.name);
        }
    }
}

#[test]
fn every_json_block_is_json() {
    for (at, _, block) in blocks_of(&pages(), "json") {
        serde_json::from_str::<Value>(&block.text).unwrap_or_else(|e| panic!("{at}: {e}"));
    }
}

#[test]
fn every_yaml_block_is_a_resource_a_configuration_or_sensus_own() {
    let pages = pages();
    let minimal = fs::read_to_string(root().join("config/minimal.yaml")).unwrap();
    let mut configurations = 0;
    for (at, page, block) in blocks_of(&pages, "yaml") {
        let documents = block.documents(&at);
        let document = documents.first().and_then(Value::as_object).unwrap_or_else(|| panic!("{at}: no map"));
        if document.contains_key("type") {
            let file = block.file().unwrap_or_else(|| panic!("{at}: begin with # FILE.yaml"));
            let used =
                page.blocks.iter().any(|b| b.language == "sh" && b.text.contains(&format!("-f {file}")));
            assert!(used, "{at}: no command of the page uses {file}");
        } else if block.text.starts_with("# backend.yml\n") {
            for key in document.keys() {
                assert!(BACKEND_KEYS.contains(&key.as_str()), "{at}: {key}");
            }
        } else {
            let mut text = block.text.clone();
            for (key, line) in REQUIRED.iter().filter(|(key, _)| !document.contains_key(*key)) {
                assert!(!text.contains(&format!("\n{key}:")), "{at}: {key}");
                text.push_str(line);
                text.push('\n');
            }
            config::parse(&text, &at, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
            if document.contains_key("listen") {
                let shown = block.text.trim_start_matches("# fedgate.yaml\n");
                assert!(minimal.ends_with(shown), "{at}: differs from config/minimal.yaml");
            }
            configurations += 1;
        }
    }
    assert!(configurations >= 2, "only {configurations} configurations");
}
