//! Names, labels and outputs of a cluster that nobody should trust.

use serde_json::{Value, json};

use super::{Desk, event, is_of_network, world};

/// What has broken pages before, and what has not yet.
const TEXTS: [&str; 14] = [
    "<img src=x onerror=\"window.ran=1\">",
    "\"><script>window.ran=1</script>",
    "</title><svg onload=window.ran=1>",
    "javascript:window.ran=1",
    "data:text/html,<script>window.ran=1</script>",
    "{{constructor.constructor('window.ran=1')()}} ${window.ran=1}",
    "\u{202e}dessap\u{202c} \u{2066}x\u{2069} \u{200b}\u{feff}",
    "\u{1b}[31mred\u{1b}[0m \u{1b}]8;;javascript:window.ran=1\u{7}link\u{1b}]8;;\u{7} \u{9b}2J",
    "nul\u{0} bell\u{7} del\u{7f} cr\r line\u{2028}para\u{2029}",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}a\u{34f}l\u{334}g\u{335}o\u{336} \u{1f469}\u{200d}\u{1f692} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "\" onmouseover=\"window.ran=1",
    "-cluster:alpha status:passing \\\" label.",
    "%3Cscript%3E ../../etc/passwd ?clusters=beta#x&y=1",
];

/// Names that mean something to JavaScript.
const KEYS: [&str; 4] = ["__proto__", "constructor", "toString", "hasOwnProperty"];

/// Events that no Sensu would take: their names are as bad as their outputs.
fn of_a_hostile_cluster() -> String {
    let mut events: Vec<Value> = TEXTS
        .iter()
        .map(|text| {
            let mut event = event("default", text, text, 2, text);
            event["entity"]["metadata"]["labels"] = json!({*text: *text, "team": *text});
            event["check"]["silenced"] = json!([text]);
            event
        })
        .collect();
    for name in KEYS {
        let mut event = event(name, name, name, 1, name);
        event["check"]["metadata"]["labels"] = json!({name: name});
        events.push(event);
    }
    // And what is hardly an event.
    events.extend([
        json!({"check": 1, "entity": "x"}),
        json!({"check": {"metadata": {"name": {}}, "history": "x"}, "entity": {"metadata": null}}),
        json!({"timestamp": 1e300, "entity": {"metadata": {"name": "odd", "namespace": "default"}},
            "check": {"status": -1.5e9, "output": {"a": 1}, "history": [null, 1, {"status": "x", "executed": 9e99}],
                "last_ok": -9e99, "metadata": {"name": "odd", "labels": [1], "annotations": "x"}, "silenced": "y"}}),
    ]);
    json!(events).to_string()
}

/// Fails when anything of it became more than text.
#[track_caller]
fn is_text(desk: &mut Desk, place: &str) {
    assert_eq!(desk.see("window.ran === undefined"), true, "{place}");
    assert_eq!(desk.see("document.querySelectorAll('main img, main script, main iframe, main object, [onerror], [onload], [onmouseover]').length"), 0, "{place}");
    let links = desk.see(
        "[...document.querySelectorAll('a')].filter(a => a.origin !== location.origin || a.protocol !== location.protocol)\
         .map(a => [a.protocol, a.rel])",
    );
    let is_safe = |link: &Value| {
        ["http:", "https:"].contains(&link[0].as_str().unwrap())
            && link[1].as_str().unwrap().contains("noopener")
    };
    assert!(links.as_array().unwrap().iter().all(is_safe), "{place}: {links}");
    // Nothing reorders or hides what stands beside it.
    let garbled = desk.see("/[\\u0000-\\u0008\\u001b\\u202a-\\u202e\\u2066-\\u2069\\u200b\\ufeff]/.test(document.body.innerText)");
    assert_eq!(garbled, false, "{place}: {}", desk.see("document.body.innerText"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_cluster_sends_is_text_on_every_page() {
    let world = world().await;
    world.sensus[2].faults().set_body(Some(of_a_hostile_cluster().into()));
    let mut desk = Desk::enter(
        &world,
        "events?q=cluster:beta&columns=status,cluster,namespace,entity,check,output,owner,labels",
    );
    desk.until_rows("rows.some(row => row.Output.startsWith('<img src=x'))");
    let outputs = desk.column("Output");
    assert!(outputs.iter().any(|text| text.starts_with("⟨202E⟩dessap")), "{outputs:?}");
    assert!(outputs.iter().any(|text| text.starts_with("red link")), "{outputs:?}");
    assert_eq!(outputs.len(), TEXTS.len() + KEYS.len() + 1);
    is_text(&mut desk, "the table");
    for group in ["entity", "label.team", "label.__proto__", "label.constructor", "__proto__"] {
        desk.go(&format!("events?q=cluster:beta&group={group}"));
        desk.until_rows("rows.some(row => row.group)");
        is_text(&mut desk, group);
    }
    for name in KEYS {
        desk.go(&format!("events?q={name}:x"));
        desk.shows(&format!("there is no {name}:"));
        for view in
            [format!("q=entity:{name}"), format!("q=label.{name}:*"), format!("q=check:{name}&sort={name}")]
        {
            desk.go(&format!("events?{view}"));
            desk.until_rows(&format!("rows.length === 1 && rows[0].Entity === '{name}'"));
            is_text(&mut desk, &view);
        }
        desk.go(name);
        desk.shows("There is no such page");
    }
    // Each name in the filter, completed, and in a dialog.
    desk.go("events?q=cluster:beta&sort=entity");
    desk.read();
    desk.keys("/ ");
    desk.fill("Filter", "");
    desk.write("cluster:beta entity:img");
    desk.until(
        "[...document.querySelectorAll('[role=option]')].some(option => option.textContent.includes('<img'))",
    );
    is_text(&mut desk, "the completion");
    desk.until_parameter("q", "cluster:beta entity:img");
    desk.keys("Escape Escape");
    desk.go("events?q=cluster:beta");
    desk.until_rows("rows.length > 10 && rows.every(row => row.Cluster === 'beta')");
    desk.keys("a s");
    desk.until("desk.title().startsWith('Silence')");
    is_text(&mut desk, "the dialog");
    desk.keys("Escape");
    desk.keys("r");
    desk.hears("failed");
    is_text(&mut desk, "the report");
    for page in ["", "entities", "checks", "silences", "clusters", "replicators"] {
        desk.go(page);
        desk.until("document.querySelector('main h1')");
        is_text(&mut desk, page);
    }
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_labels_and_a_megabyte_of_output_are_shown_as_they_are() {
    let world = world().await;
    let mut bad = event("default", "evil", "evil", 2, &TEXTS.join(" ").repeat(2_500));
    assert!(bad["check"]["output"].as_str().unwrap().len() > 1_000_000);
    for (number, text) in TEXTS.iter().enumerate() {
        bad["entity"]["metadata"]["labels"][format!("l{number}")] = json!(text);
        bad["entity"]["metadata"]["annotations"][format!("a{number}")] = json!(text);
    }
    bad["entity"]["metadata"]["annotations"]["runbook"] = json!("https://example.com/<b>?a=\"1\"");
    bad["entity"]["metadata"]["annotations"]["picture"] = json!("https://example.com/pixel.png");
    // Past the API, which takes less.
    world.sensus[1].etcd_put("/sensu.io/events/default/evil/evil", bad.to_string().as_bytes());
    world.sensus[1].etcd_put("/sensu.io/entity_configs/default/evil", bad["entity"].to_string().as_bytes());
    let mut desk = Desk::enter(&world, "events?q=check:evil");
    desk.read();
    desk.until_rows("rows[0].Output.startsWith('<img src=x') && rows[0].Output.length < 1000");
    desk.keys("Enter");
    desk.until("document.querySelector('pre').textContent.includes('<img src=x')");
    is_text(&mut desk, "the event");
    let links = desk.see("[...document.querySelectorAll('main a[target]')].map(a => [a.href, a.rel])");
    assert_eq!(
        links,
        json!([
            ["https://example.com/pixel.png", "noopener noreferrer"],
            ["https://example.com/%3Cb%3E?a=%221%22", "noopener noreferrer"],
        ])
    );
    let shown = desk.see("document.querySelector('pre').textContent.length");
    assert!(shown.as_u64().unwrap() < 100_000, "{shown}");
    desk.see("[...document.querySelectorAll('main button')].find(button => button.textContent.startsWith('Show all')).click()");
    desk.until("document.querySelector('pre').textContent.length > 1000000");
    is_text(&mut desk, "all of the output");
    desk.go("entity?ns=default@alpha&name=evil&cluster=alpha");
    desk.shows("runbook");
    desk.see("document.querySelector('main summary').click()");
    desk.until("document.querySelector('details pre')");
    is_text(&mut desk, "the entity");
    desk.is_well();
}
