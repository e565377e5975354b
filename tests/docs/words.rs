//! The field's own words.

use super::markdown::pages;

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

#[test]
fn the_pages_are_in_plain_english() {
    for page in pages() {
        for (line, text) in &page.prose {
            for phrase in AVOIDED {
                assert!(!text.contains(phrase), "{}:{line}: {phrase:?}", page.name);
            }
        }
    }
}
