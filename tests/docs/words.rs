//! The field's own words.

use std::fs;

use super::markdown::{pages, root};

/// What once stood here in place of plain English.
const AVOIDED: [&str; 12] = [
    "cannot be had",
    "time and again",
    "it is no registry",
    "replicates no more",
    "worth its while",
    "for want of",
    " anew",
    "nobody asked for it",
    "goes on with",
    "gives notice",
    " ill ",
    " in work",
];

/// What is read besides the pages.
const FILES: [&str; 6] =
    [".ci/test", ".deny.toml", "Dockerfile", "config/dev.yaml", "config/fedgate.yaml", "config/minimal.yaml"];

#[test]
fn what_people_read_is_in_plain_english() {
    let files = FILES.map(|name| (name.to_owned(), fs::read_to_string(root().join(name)).unwrap()));
    let pages = pages().into_iter().map(|page| (page.name, page.text));
    for (name, text) in pages.chain(files) {
        for (index, line) in text.lines().enumerate() {
            for phrase in AVOIDED {
                assert!(!line.contains(phrase), "{name}:{}: {phrase:?}", index + 1);
            }
        }
    }
}
