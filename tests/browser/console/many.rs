//! As many events as a large federation has.

use std::{io::Write, path::Path};

use super::{Desk, event, put_event, quick};
use crate::world::World;

const CLUSTERS: [&str; 10] = ["local-cluster", "ams", "fra", "gru", "iad", "lhr", "nrt", "scl", "sin", "syd"];

/// Fewer than a large federation has: this is built without optimization. `FEDGATE_TEST_EVENTS=5000 cargo test --release`
/// has all of them.
fn of_each_cluster() -> usize {
    std::env::var("FEDGATE_TEST_EVENTS").map_or(400, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_tens_of_thousands_has_few_elements_and_scrolls() {
    let world = World::with(&CLUSTERS, Path::new(""), &quick()).await;
    let each = of_each_cluster();
    for cluster in 0..CLUSTERS.len() {
        for number in 0..each {
            let (entity, check) = (format!("host-{:04}", number / 10), format!("check-{}", number % 10));
            let status = u8::from(number % 17 == 0) * 2 + u8::from(number % 13 == 0 && number % 17 != 0);
            let output = format!("{check} on {entity}: {number} of {each}");
            put_event(&world, cluster, &event("default", &entity, &check, status, &output));
        }
    }
    let mut desk = Desk::enter(&world, "events?q=check:check-*");
    desk.read();
    // As somebody sees it who comes back: the login is there, the data are not.
    desk.reload();
    desk.until_rows("rows.length > 10");
    let first = desk.see("desk.firstRow");
    let all = each * CLUSTERS.len();
    desk.page.until_within(
        &format!("desk.read() && Number(document.querySelector('[role=grid]').ariaRowCount) === {}", all + 1),
        std::time::Duration::from_secs(120),
    );
    let complete = desk.see("performance.now()");
    let frames = desk.see(SCROLL);
    let elements = desk.see("desk.scrolled.elements");
    assert!(elements.as_u64().unwrap() < 150, "{elements} rows are elements");
    desk.until("desk.rows().length > 10");
    let _ = writeln!(
        std::io::stderr(),
        "{all} events of {} clusters: first rows after {first} ms, all after {complete} ms; scrolling: {frames}",
        CLUSTERS.len()
    );
    // The end of it is there.
    desk.see("document.querySelector('[role=grid]').scrollTop = 1e9");
    desk.until(&format!("[...document.querySelectorAll('[role=row]')].some(row => row.ariaRowIndex === '{}' && row.querySelector('[role=gridcell] a'))", all + 1));
    desk.fill("Filter", "status:critical cluster:syd");
    desk.until_rows("rows.every(row => row.Cluster === 'syd' && row.Status === 'critical')");
    desk.is_well();
}

/// Two seconds through the table, a tenth of it at a time; the times of the frames and the most elements.
const SCROLL: &str = "new Promise(done => {
    const grid = document.querySelector('[role=grid]');
    const frames = [];
    let elements = 0;
    let long = 0;
    new PerformanceObserver(list => { long += list.getEntries().length; }).observe({type: 'longtask'});
    let last = performance.now();
    const begun = last;
    const step = now => {
        frames.push(now - last);
        last = now;
        elements = Math.max(elements, document.querySelectorAll('[role=grid] [role=row]').length);
        grid.scrollTop += 400;
        if (now - begun < 2000) return void requestAnimationFrame(step);
        frames.sort((a, b) => a - b);
        desk.scrolled = {elements};
        const at = part => Math.round(frames[Math.floor((frames.length - 1) * part)] * 10) / 10;
        done(`${frames.length} frames, median ${at(0.5)} ms, 95% ${at(0.95)} ms, longest ${at(1)} ms, ${long} long tasks`);
    };
    requestAnimationFrame(step);
})";
