//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use std::collections::BTreeMap;

use super::{Root, parse};

/// Checks that a file is refused with one printable line that names it, or reads the same when it is written out again.
///
/// # Panics
///
/// When a property does not hold.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for text in [text.to_owned(), format!("{REQUIRED}{text}")] {
        check(&text, &BTreeMap::new(), "f.yaml");
    }
}

/// The same for a variable, whose name and value are separated by the first `=`.
///
/// # Panics
///
/// When a property does not hold.
pub fn variable(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((name, value)) = text.split_once('=') else { return };
    let name = format!("FEDGATE_{name}");
    let origin = name.escape_debug().to_string();
    check(REQUIRED, &BTreeMap::from([(name, value.to_owned())]), &origin);
}

fn check(text: &str, env: &BTreeMap<String, String>, origin: &str) {
    match parse(text, "f.yaml", env) {
        Ok(root) => {
            let written = serde_json::to_string(&root).expect("a configuration serializes");
            assert_eq!(read_again(&written).as_ref(), Some(&root), "{written}");
        }
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(char::is_control), "{error:?}");
            assert!(error.contains(origin) || error.starts_with("f.yaml"), "{error:?}");
        }
    }
}

fn read_again(text: &str) -> Option<Root> {
    parse(text, "again", &BTreeMap::new()).ok()
}

const REQUIRED: &str = "\
listen: {address: '127.0.0.1:8080'}
auth: {jwt-public-key-files: [/k.pem]}
local-cluster: {api-urls: ['https://a:8080']}
";
