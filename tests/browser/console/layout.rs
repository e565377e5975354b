//! From a phone to a wall, and for those who do not see.

use std::{io::Write, path::Path};

use serde_json::{Value, json};

use super::{Desk, world};

/// Every page, with what it shows when it has been read.
const PAGES: [(&str, &str); 10] = [
    ("", "document.querySelectorAll('li.card svg').length >= 3"),
    ("events", "desk.read()"),
    ("events?group=cluster", "desk.read()"),
    ("entities", "desk.read()"),
    ("checks", "desk.read()"),
    ("silences", "desk.read()"),
    ("clusters", "document.querySelectorAll('li.card').length === 3"),
    ("replicators", "desk.text(document.querySelector('main')).includes('There are no replicators')"),
    ("event?ns=default@alpha&entity=iad-web-01&check=cpu&cluster=alpha", "document.querySelector('pre')"),
    ("entity?ns=default@alpha&name=iad-web-01&cluster=alpha", "document.querySelector('dl')"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_page_has_to_be_scrolled_sideways_from_360_to_2560_pixels() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    for (width, height) in [(360, 740), (768, 1024), (1400, 1000), (2560, 1440)] {
        desk.page.resize(width, height);
        for (page, ready) in PAGES {
            desk.go(page);
            desk.until(ready);
            let too_wide = desk.see(
                "[document.documentElement, document.body, ...document.querySelectorAll('main, header, footer')]\
                 .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => `${box.tagName} ${box.scrollWidth} > ${box.clientWidth}`)",
            );
            assert_eq!(too_wide, json!([]), "{page:?} at {width}");
            let cut = desk.see(
                "(() => { const scrolls = e => e && (getComputedStyle(e).overflowX === 'auto' && !e.matches('main') || scrolls(e.parentElement)); \
                 return desk.all('h1, nav a, main button, main select, main input').filter(e => !scrolls(e) && !e.closest('.hidden'))\
                 .filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1).map(desk.name); })()",
            );
            assert_eq!(cut, json!([]), "{page:?} at {width}");
        }
        // What is in front fits, too.
        desk.go("events");
        desk.read();
        desk.keys("x s");
        desk.until("desk.title().startsWith('Silence')");
        let fits = "const box = document.querySelector('dialog[open]').getBoundingClientRect(); \
                    return box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight";
        desk.until(fits);
        desk.keys("Escape");
        desk.keys("x");
    }
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_reader_finds_its_way_on_every_page_light_and_dark() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/node_modules/axe-core/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(&axe) else {
        // Past the capture of the harness: what is left out is to be seen.
        let _ =
            writeln!(std::io::stderr(), "skipped: axe-core is not installed (npm ci --prefix tests/browser)");
        return;
    };
    let world = world().await;
    let mut desk = Desk::new(&world);
    desk.open("");
    desk.until("desk.control('User name')");
    desk.see(&format!("{axe}; 1"));
    let mut findings = Vec::new();
    // It is there and finds what is wrong.
    desk.see("document.body.prepend(Object.assign(document.createElement('img'), {id: 'planted', src: 'data:,'})), 1");
    examine(&mut desk, "login", &mut findings);
    assert!(findings.iter().any(|found| found.contains("#planted")), "{findings:?}");
    findings.clear();
    desk.see("document.getElementById('planted').remove()");
    examine(&mut desk, "login", &mut findings);
    desk.log_in("admin", super::PASSWORD);
    for (page, ready) in PAGES {
        desk.go(page);
        desk.until(ready);
        examine(&mut desk, page, &mut findings);
    }
    desk.go("events");
    desk.read();
    desk.keys("x s");
    desk.until("desk.title().startsWith('Silence')");
    examine(&mut desk, "the dialog of a silence", &mut findings);
    desk.keys("Escape");
    desk.click("Columns");
    examine(&mut desk, "the menu of columns", &mut findings);
    desk.keys("Escape");
    desk.until("!document.querySelector('[role=menu]')");
    desk.keys("/");
    desk.until("document.querySelector('[role=option]')");
    examine(&mut desk, "the completion", &mut findings);
    desk.page.resize(360, 740);
    desk.go("entities");
    desk.read();
    examine(&mut desk, "entities on a phone", &mut findings);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Adds what axe finds serious or critical. Only colours depend on the theme.
fn examine(desk: &mut Desk, place: &str, findings: &mut Vec<String>) {
    for (theme, options) in [("light", json!({})), ("dark", json!({"runOnly": ["color-contrast"]}))] {
        desk.see(&format!("document.documentElement.dataset.theme = '{theme}'"));
        let found = desk.see(&format!(
            "axe.run(document, {{resultTypes: ['violations'], ...{options}}}).then(({{violations}}) => violations\
             .filter(found => ['serious', 'critical'].includes(found.impact)).flatMap(found => found.nodes.map(node => \
             `${{found.id}} (${{found.impact}}): ${{node.target.join(' ')}}: ${{node.failureSummary.replace(/\\s+/g, ' ')}}`)))"
        ));
        let lines = found.as_array().into_iter().flatten().filter_map(Value::as_str);
        findings.extend(lines.take(4).map(|line| format!("{place}, {theme}: {line}")));
    }
}
