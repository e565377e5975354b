//! The pictures in the documentation. To make them again:
//!
//! ```sh
//! cargo test --test browser -- --ignored screenshots
//! ```

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Desk;
use crate::world::World;

const PAGES: [(&str, &str); 2] = [("overview", ""), ("events", "events?q=status:incident&group=check")];
const THEMES: [&str; 2] = ["light", "dark"];
/// As long as a page with pictures should take on a slow line.
const LARGEST: u64 = 150_000;

fn picture(page: &str, theme: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/console-{page}-{theme}.webp"))
}

#[ignore = "writes docs/images"]
#[tokio::test(flavor = "multi_thread")]
async fn screenshots() {
    let world = World::with_a_past(&["local-cluster", "frankfurt", "virginia"]).await;
    let mut desk = Desk::enter(&world, "");
    desk.page.resize(1280, 800);
    for (name, page) in PAGES {
        desk.go(page);
        desk.until("!document.querySelector('.busy, [aria-busy=true]') && desk.all('main svg').length > 20");
        desk.until("!/reading/i.test(document.querySelector('main').innerText)");
        desk.until("['local-cluster', 'frankfurt', 'virginia'].every(name => desk.text(document.querySelector('main')).includes(name))");
        for theme in THEMES {
            desk.page.call(
                "Emulation.setEmulatedMedia",
                json!({"features": [{"name": "prefers-color-scheme", "value": theme}]}),
            );
            let path = picture(name, theme);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            desk.page.screenshot(&path);
        }
    }
}

#[test]
fn the_documentation_has_small_pictures_of_the_console() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages =
        ["README.md", "docs/console.md"].map(|page| std::fs::read_to_string(root.join(page)).unwrap());
    for (page, _) in PAGES {
        for theme in THEMES {
            let path = picture(page, theme);
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WEBP"[..]), "{}", path.display());
            assert!(bytes.len() as u64 <= LARGEST, "{}: {}", path.display(), bytes.len());
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(pages.iter().any(|text| text.contains(name)), "{name} is shown nowhere");
        }
    }
}
