//! The tables: order, groups, columns, filters, views, exports.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Desk, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_sorted_by_its_heads_and_the_worst_comes_first_without() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    let ranks: Vec<usize> = desk
        .column("Status")
        .iter()
        .map(|text| {
            let rank =
                ["critical", "warning", "unknown", "passing"].iter().position(|name| text.starts_with(name));
            // What is silenced is somebody's already.
            rank.unwrap() * 2 + usize::from(text.contains("silenced"))
        })
        .collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    for (order, sign) in [("ascending", 1), ("descending", -1)] {
        desk.see("[...document.querySelectorAll('[role=columnheader] button')].find(b => b.textContent.startsWith('Entity')).click()");
        desk.until(&format!("desk.order('Entity') === '{order}'"));
        desk.until_rows(&format!(
            "rows.every((row, at) => !at || {sign} * row.Entity.localeCompare(rows[at - 1].Entity, 'en', {{numeric: true}}) >= 0)"
        ));
    }
    assert_eq!(desk.see("new URLSearchParams(location.search).get('sort')"), "-entity");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_grouped_by_entity_check_cluster_or_label() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    for (choice, title) in [("by entity", "Entity"), ("by check", "Check"), ("by cluster", "Cluster")] {
        desk.fill("Group", choice);
        desk.until_rows("rows[0].group");
        let mut group = Value::Null;
        for row in desk.rows() {
            if row["group"].is_null() {
                assert_eq!(row[title], group, "{choice}");
            } else {
                group = row["group"].clone();
            }
        }
    }
    desk.fill("Group", "by label…");
    desk.until("desk.title() === 'Group by a label'");
    desk.fill("Label", "role");
    desk.click("Group");
    desk.until_parameter("group", "label.role");
    desk.until_rows("['web', 'db', 'cache', 'router'].includes(rows[0].group)");
    // The choice says how it is, whatever led there.
    for (view, choice) in [("group=entity", "by entity"), ("", "none"), ("group=label.role", "by label.role")]
    {
        desk.go(&format!("events?{view}"));
        desk.until(&format!("desk.control('Group').selectedOptions[0].text === '{choice}'"));
    }
    desk.until_rows("['web', 'db', 'cache', 'router'].includes(rows[0].group)");
    // A group can be folded: its rows go, the next group follows.
    desk.see("document.querySelector('[role=grid] [aria-expanded]').click()");
    desk.until_rows("rows[0].group && rows[1].group");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_columns_are_kept_in_the_browser_and_travel_in_a_link() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    desk.click("Columns");
    desk.click("Occurrences");
    desk.click("Output");
    desk.keys("Escape");
    desk.until("desk.titles().includes('Occurrences') && !desk.titles().includes('Output')");
    desk.reload();
    desk.read();
    desk.until("desk.titles().includes('Occurrences') && !desk.titles().includes('Output')");
    desk.fill("Filter", "status:critical cluster:alpha");
    desk.until_parameter("q", "status:critical cluster:alpha");
    desk.click("Views");
    desk.click("Save this view…");
    desk.fill("Name", "Alpha burns");
    desk.click("Save");
    desk.closes();
    let saved = desk.see("JSON.parse(localStorage.getItem('fedgate-console-views-events'))[0].search");
    desk.go("events");
    desk.until_rows("new Set(rows.map(row => row.Cluster)).size === 3");
    desk.click("Views");
    desk.click("Alpha burns");
    desk.until_rows("rows.every(row => row.Cluster === 'alpha' && row.Status.startsWith('critical'))");
    // Somebody else, in another browser.
    let mut other = Desk::enter(&world, &format!("events{}", saved.as_str().unwrap()));
    other.read();
    other.until_rows("rows.every(row => row.Cluster === 'alpha')");
    other.until("desk.titles().includes('Occurrences') && !desk.titles().includes('Output')");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_in_its_address_and_survives_a_reload() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=cluster:alpha&group=entity&sort=check");
    for _ in 0..2 {
        desk.read();
        desk.until_rows("rows[0].group && rows.every(row => row.group || row.Cluster === 'alpha')");
        assert_eq!(desk.see("desk.control('Filter').value"), "cluster:alpha");
        desk.until("desk.order('Check') === 'ascending'");
        desk.reload();
    }
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_completed_from_what_the_clusters_have() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    let options = "[...document.querySelectorAll('[role=listbox] [role=option]')].map(e => desk.text(e))";
    desk.keys("/");
    desk.write("clus");
    // Not the list of all keys, which begins with it, too.
    desk.until(&format!("{options}.join() === 'cluster:'"));
    desk.keys("ArrowDown Enter");
    desk.until(&format!("{options}.length === 3"));
    desk.write("be");
    desk.until(&format!("{options}[0].startsWith('beta')"));
    desk.keys("ArrowDown Enter");
    desk.until_parameter("q", "cluster:beta");
    desk.until_rows("rows.every(row => row.Cluster === 'beta')");
    desk.write("label.ro");
    desk.until(&format!("{options}[0].startsWith('label.role:')"));
    desk.keys("ArrowDown Enter");
    desk.write("d");
    desk.until(&format!("{options}[0].startsWith('db')"));
    desk.keys("ArrowDown Enter");
    desk.until_rows("rows.every(row => row.Entity.includes('-db-'))");
    desk.write("nonsense:1");
    desk.shows("there is no nonsense:");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_that_come_late_leave_the_choice_as_it_is() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    let chosen = "desk.text(document.querySelector('[role=option][aria-selected=true]') ?? document.createElement('p'))";
    desk.keys("/");
    desk.write("c");
    desk.until("document.querySelectorAll('[role=option]').length > 2");
    // From now on the engine is asked when the test says so, and what it answers is counted.
    desk.see(
        "const post = MessagePort.prototype.postMessage; window.held = []; window.answers = 0; \
         MessagePort.prototype.postMessage = function (message) { \
           if (message.op !== 'complete') return post.call(this, message); \
           if (!this.counted) this.addEventListener('message', ({data}) => { answers += Number(Boolean(data.body?.word)); }); \
           this.counted = true; held.push(() => post.call(this, message)); }; 1",
    );
    desk.write("l");
    desk.keys("ArrowDown ArrowDown");
    let choice = desk.see(chosen);
    assert_ne!(choice, "");
    desk.see("held.splice(0).forEach(send => send())");
    desk.until("answers === 1");
    assert_eq!(desk.see(chosen), choice);
    desk.keys("Enter");
    desk.until(&format!("desk.control('Filter').value === {choice}"));
    // What completes another word is not offered for this one.
    desk.see("held.splice(0).forEach(send => send())");
    desk.until("answers === 2 && document.querySelectorAll('[role=option]').length > 0");
    desk.write("x st");
    desk.until("document.querySelectorAll('[role=option]').length === 0");
    desk.see("held.splice(0).forEach(send => send())");
    desk.until("[...document.querySelectorAll('[role=option]')].map(desk.text).includes('status:')");
    desk.is_well();
}

/// What is exported must be what is shown, cell by cell.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_the_rows_and_columns_that_are_shown() {
    let world = world().await;
    let mut desk = Desk::enter(
        &world,
        "events?q=check:cpu&sort=entity&columns=status,cluster,namespace,entity,check,output,occurrences",
    );
    desk.read();
    let directory = tempfile::tempdir().unwrap();
    desk.page.call_browser(
        "Browser.setDownloadBehavior",
        json!({"behavior": "allow", "downloadPath": directory.path()}),
    );
    let download = |name: &str| {
        let (path, end) = (directory.path().join(name), Instant::now() + Duration::from_secs(20));
        loop {
            // The file has its name when it is complete.
            match std::fs::read_to_string(&path) {
                Ok(text) if !text.is_empty() => return text,
                _ => assert!(Instant::now() < end, "{name} was not saved"),
            }
            std::thread::yield_now();
        }
    };
    let titles = ["Status", "Cluster", "Namespace", "Entity", "Check", "Output", "Occurrences"];
    let shown: Vec<Vec<String>> = desk
        .rows()
        .iter()
        .map(|row| titles.map(|title| row[title].as_str().unwrap().to_owned()).to_vec())
        .collect();
    desk.click("Export");
    desk.click("CSV, as shown");
    let csv = download("events.csv");
    let mut lines = csv.strip_prefix('\u{feff}').unwrap().split("\r\n").filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some(titles.join(",").as_str()));
    let exported: Vec<Vec<String>> =
        lines.map(|line| line.split(',').map(ToOwned::to_owned).collect()).collect();
    assert_eq!(exported.len(), shown.len());
    for (exported, shown) in exported.iter().zip(&shown) {
        // A cell says "silenced", too, where a file has the severity alone.
        assert!(shown[0].starts_with(&exported[0]), "{exported:?} {shown:?}");
        assert_eq!(exported[1..], shown[1..]);
    }

    desk.click("Export");
    desk.click("JSON");
    let items: Vec<Value> = serde_json::from_str(&download("events.json")).unwrap();
    assert_eq!(items.len(), shown.len());
    for (item, shown) in items.iter().zip(&shown) {
        let fields =
            ["cluster", "namespace", "entity", "check", "output"].map(|key| item[key].as_str().unwrap());
        assert_eq!(fields, [&shown[1], &shown[2], &shown[3], &shown[4], &shown[5]].map(String::as_str));
    }
    desk.is_well();
}
