//! Links lead somewhere: to a file of the repository, and to a heading that it has.

use super::markdown::{Page, page, pages, root};

/// The targets of `[text](target)`.
fn targets(page: &Page) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in &page.prose {
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            let end = rest.find(')').unwrap_or_else(|| panic!("{}:{line}: a link has no end", page.name));
            found.push((*line, &rest[..end]));
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut seen = 0;
    for from in pages() {
        for (line, target) in targets(&from) {
            let at = format!("{}:{line}: {target}", from.name);
            seen += 1;
            if target.contains("://") {
                target.parse::<http::Uri>().unwrap_or_else(|e| panic!("{at}: {e}"));
                assert!(target.starts_with("https://"), "{at}: not https");
                continue;
            }
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, a)| (path, Some(a)));
            let file = if path.is_empty() { root().join(&from.name) } else { from.directory.join(path) };
            let file = file.canonicalize().unwrap_or_else(|e| panic!("{at}: {e}"));
            if let Some(anchor) = anchor {
                let name = file.strip_prefix(root().canonicalize().unwrap()).unwrap().display().to_string();
                assert!(page(&name).anchors().contains(anchor), "{at}: no such heading");
            }
        }
    }
    assert!(seen > 20, "only {seen} links");
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let readme = page("README.md");
    let linked: Vec<&str> = targets(&readme).into_iter().map(|(_, target)| target).collect();
    for page in pages() {
        assert!(page.name == "README.md" || linked.contains(&page.name.as_str()), "{}", page.name);
    }
}

#[test]
fn the_crates_documentation_leads_to_the_architecture() {
    // From target/doc/fedgate/index.html.
    assert!(include_str!("../../src/lib.rs").contains("](../../../docs/architecture.md)"));
}

#[test]
fn the_readme_fits_one_screen() {
    let lines = page("README.md").text.lines().count();
    assert!(lines <= 70, "{lines} lines");
}
