//! As many events as a large federation has.

use std::{io::Write, path::Path};

use serde_json::json;

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
    let _ = writeln!(
        std::io::stderr(),
        "{all} events of {} clusters: first rows after {first} ms, all after {complete} ms",
        CLUSTERS.len()
    );
    desk.page.call("Performance.enable", json!({}));
    for pixels in [120, 400, 900] {
        let before = spent(&mut desk);
        let frames = desk.see(&SCROLL.replace("PIXELS", &pixels.to_string()));
        let spent: Vec<String> = spent(&mut desk)
            .iter()
            .zip(before)
            .map(|((what, after), (_, before))| {
                format!("{what} {:.1}", (after - before) * 1e3 / frames["frames"].as_f64().unwrap())
            })
            .collect();
        let _ =
            writeln!(std::io::stderr(), "{pixels} px a frame: {frames}, ms a frame: {}", spent.join(", "));
        // Those that leave become those that come.
        assert!(frames["elements"].as_u64().unwrap() < 100, "{frames}");
        desk.until("desk.rows().length > 10");
    }
    // The end of it is there.
    desk.see("document.querySelector('[role=grid]').scrollTop = 1e9");
    desk.until(&format!("[...document.querySelectorAll('[role=row]')].some(row => row.ariaRowIndex === '{}' && row.querySelector('[role=gridcell] a'))", all + 1));
    desk.fill("Filter", "status:critical cluster:syd");
    desk.until_rows("rows.every(row => row.Cluster === 'syd' && row.Status === 'critical')");
    desk.is_well();
}

/// What the page's thread has spent so far, in seconds.
fn spent(desk: &mut Desk) -> Vec<(&'static str, f64)> {
    let answer = desk.page.call("Performance.getMetrics", json!({}));
    let of = |name: &str| {
        let metrics = answer["metrics"].as_array().into_iter().flatten();
        metrics
            .clone()
            .find(|metric| metric["name"] == name)
            .and_then(|metric| metric["value"].as_f64())
            .unwrap()
    };
    [
        ("script", "ScriptDuration"),
        ("style", "RecalcStyleDuration"),
        ("layout", "LayoutDuration"),
        ("all", "TaskDuration"),
    ]
    .map(|(what, name)| (what, of(name)))
    .to_vec()
}

/// Two seconds through the table, so many pixels each frame; the times of the frames, and how many
/// elements have been rows.
const SCROLL: &str = "new Promise(done => {
    const grid = document.querySelector('[role=grid]');
    const times = [];
    const elements = new Set();
    let long = 0;
    new PerformanceObserver(list => { long += list.getEntries().length; }).observe({type: 'longtask'});
    let last = performance.now();
    const begun = last;
    const step = now => {
        times.push(now - last);
        last = now;
        for (const row of grid.querySelectorAll('[role=row]')) elements.add(row);
        grid.scrollTop += PIXELS;
        if (now - begun < 2000) return void requestAnimationFrame(step);
        times.sort((a, b) => a - b);
        const at = part => Math.round(times[Math.floor((times.length - 1) * part)] * 10) / 10;
        done({frames: times.length, median: at(0.5), '95%': at(0.95), longest: at(1), long, elements: elements.size});
    };
    requestAnimationFrame(step);
})";
