//! What moves, appears or goes while somebody is about to act on it: they act on what they meant, or on nothing.

use serde_json::{Value, json};

use super::{Desk, PASSWORD, event, is_of_network, put_event, world};
use crate::world::World;

const ROWS: &str = "events?q=check:pay&sort=entity";

/// Opens a table of these rows, in this order.
fn table(world: &World, rows: &[&str]) -> Desk {
    for row in rows {
        put_event(world, 0, &event("default", row, "pay", 2, "gone"));
    }
    let mut desk = Desk::enter(world, ROWS);
    desk.read();
    has_rows(&mut desk, rows);
    desk
}

#[track_caller]
fn has_rows(desk: &mut Desk, rows: &[&str]) {
    desk.until_rows(&format!("rows.map(row => row.Entity).join() === '{}'", rows.join(",")));
}

/// Another row comes, by itself.
#[track_caller]
fn comes(world: &World, desk: &mut Desk, row: &str, rows: &[&str]) {
    put_event(world, 0, &event("default", row, "pay", 2, "gone"));
    desk.pass(15);
    has_rows(desk, rows);
}

/// The events that were resolved, in this order.
fn resolved(world: &World) -> Vec<String> {
    let is_resolved =
        |body: &Value| body["check"]["output"].as_str().is_some_and(|it| it.starts_with("Resolved"));
    let entity = |body: Value| body["entity"]["metadata"]["name"].as_str().map(ToOwned::to_owned);
    let bodies = world.sensus[0].requests().into_iter().filter(|it| it.path_and_query.contains("/events/"));
    let bodies = bodies.filter_map(|it| serde_json::from_slice(&it.body).ok());
    bodies.filter(is_resolved).filter_map(entity).collect()
}

/// The row that is marked as the one that keys act on.
fn cursor(row: &str) -> String {
    format!(
        "desk.all('.row.cursor').map(row => desk.text(row.querySelector('.c-entity'))).join() === '{row}'"
    )
}

/// Moves the mouse to the first element of these, and does that to it.
fn mouse(desk: &mut Desk, selector: &str, event: &str) {
    let place = desk.see(&format!(
        "(box => ({{x: box.x + box.width / 2, y: box.y + box.height / 2}}))(document.querySelector({}).getBoundingClientRect())",
        json!(selector)
    ));
    let pressed = event != "mouseMoved";
    desk.page.call(
        "Input.dispatchMouseEvent",
        json!({"type": event, "x": place["x"], "y": place["y"], "clickCount": u8::from(pressed),
               "button": if pressed { "left" } else { "none" }}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_act_on_the_row_that_they_were_moved_to_wherever_it_is_now() {
    let world = world().await;
    let mut desk = table(&world, &["m-1", "m-2"]);
    desk.keys("j");
    desk.until(&cursor("m-2"));
    comes(&world, &mut desk, "a-1", &["a-1", "m-1", "m-2"]);
    desk.until(&cursor("m-2"));
    desk.keys("r");
    desk.hears("Resolve: 1 done");
    assert_eq!(resolved(&world), ["m-2"]);
    // The row goes: the one that takes its place was not meant, and is the next one.
    desk.keys("k");
    desk.until(&cursor("m-1"));
    let gone = desk.send("DELETE", "/api/core/v2/namespaces/default/events/m-1/pay", &Value::Null);
    assert_eq!(gone["status"], 204);
    desk.pass(15);
    has_rows(&mut desk, &["a-1", "m-2"]);
    desk.until(&cursor(""));
    desk.keys("r x j");
    desk.until(&cursor("m-2"));
    desk.keys("k");
    desk.until(&cursor("a-1"));
    desk.keys("r");
    desk.until_rows("rows[0].Status === 'passing'");
    assert_eq!(resolved(&world), ["m-2", "a-1"]);
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_beside_the_filter_acts_on_no_row_that_is_not_marked() {
    let world = world().await;
    let mut desk = table(&world, &["m-1", "m-2"]);
    desk.keys("/");
    desk.until("document.activeElement.matches('input')");
    desk.keys("Escape Escape r e");
    desk.until("!document.activeElement.matches('input')");
    desk.keys("j r");
    desk.hears("Resolve: 1 done");
    assert_eq!(resolved(&world), ["m-2"]);
    let ran =
        |world: &World| world.sensus[0].requests().iter().any(|it| it.path_and_query.ends_with("/execute"));
    assert!(!ran(&world));
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_for_the_row_that_was_pressed_and_the_focus_for_no_other() {
    let world = world().await;
    let mut desk = table(&world, &["m-1", "m-2"]);
    let (cell, pick) = ("#row-0 .c-output", "#row-0 input");
    mouse(&mut desk, cell, "mousePressed");
    comes(&world, &mut desk, "c-1", &["c-1", "m-1", "m-2"]);
    mouse(&mut desk, cell, "mouseReleased");
    mouse(&mut desk, pick, "mousePressed");
    comes(&world, &mut desk, "b-1", &["b-1", "c-1", "m-1", "m-2"]);
    mouse(&mut desk, pick, "mouseReleased");
    // Whole clicks are what they were.
    mouse(&mut desk, pick, "mousePressed");
    mouse(&mut desk, pick, "mouseReleased");
    desk.until_rows("rows.filter(row => row.selected).map(row => row.Entity).join() === 'b-1'");
    assert!(desk.see("location.pathname").as_str().unwrap().ends_with("/events"));
    desk.until("const link = desk.all('.c-entity a')[0]; link.focus(); return link.matches(':focus')");
    comes(&world, &mut desk, "a-1", &["a-1", "b-1", "c-1", "m-1", "m-2"]);
    desk.until("document.activeElement.matches('[role=grid]')");
    mouse(&mut desk, cell, "mousePressed");
    mouse(&mut desk, cell, "mouseReleased");
    desk.until("location.pathname.endsWith('/event')");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_in_a_row_is_not_told_of_another_row() {
    let world = world().await;
    let long = "all of it is too long for a cell ".repeat(6);
    put_event(&world, 0, &event("default", "m-1", "pay", 2, &long));
    let mut desk = Desk::enter(&world, ROWS);
    desk.read();
    has_rows(&mut desk, &["m-1"]);
    let title = "document.querySelector('#row-0 .c-output').title";
    mouse(&mut desk, "#row-0 .c-output", "mouseMoved");
    desk.until(&format!("{title}.includes('too long')"));
    mouse(&mut desk, "h1", "mouseMoved");
    comes(&world, &mut desk, "a-1", &["a-1", "m-1"]);
    assert_eq!(desk.see(title), "");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_selected_when_what_was_asked_for_them_is_not_done() {
    let world = world().await;
    let mut desk = table(&world, &["m-1", "m-2"]);
    desk.keys("x");
    for name in ["Delete", "Silence", "Delete"] {
        desk.click(name);
        desk.until("desk.title() !== ''");
        desk.click("Cancel");
        desk.closes();
        desk.until_rows("rows[0].selected");
    }
    desk.confirm("Delete", "Delete events");
    desk.hears("Delete events: 1 done");
    has_rows(&mut desk, &["m-2"]);
    desk.until("desk.button('Delete').disabled");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_that_has_the_focus_does_not_become_one_of_another_object() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "clusters");
    let path = |name: &str| format!("/api/enterprise/federation/v1/clusters/{name}");
    for (name, port) in [("c-1", 1), ("c-2", 2), ("c-3", 3)] {
        let body = json!({"type": "Cluster", "api_version": "federation/v1", "metadata": {"name": name},
            "spec": {"api_urls": [format!("http://127.0.0.1:{port}")]}});
        assert_eq!(desk.send("PUT", &path(name), &body)["status"], 201);
    }
    desk.click("Read now");
    let of = |name: &str| {
        format!("desk.all('li.card').find(card => desk.text(card.querySelector('h2')) === '{name}')")
    };
    let remove = |name: &str| {
        format!("[...{}.querySelectorAll('button')].find(it => desk.name(it) === 'Remove')", of(name))
    };
    desk.until(&format!("{0}.focus(); return {0}.matches(':focus') && {1}", remove("c-2"), remove("c-3")));
    let goes = |desk: &mut Desk, name: &str| {
        let gone = desk.send("DELETE", &path(name), &Value::Null)["status"].as_u64().unwrap();
        assert!((200..300).contains(&gone), "{gone}");
        desk.click("Read now");
        desk.until(&format!("!{}", of(name)));
    };
    goes(&mut desk, "c-1");
    desk.until(&format!("{}.matches(':focus')", remove("c-2")));
    goes(&mut desk, "c-2");
    desk.until(&format!("!{}.matches(':focus')", remove("c-3")));
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_outlives_the_login_that_it_was_opened_with_but_no_logging_out() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "clusters");
    desk.shows("alpha");
    desk.click("Register a cluster");
    desk.fill("Name", "gamma");
    desk.see(
        "const kept = JSON.parse(sessionStorage.getItem('fedgate-console-session')); \
         fetch('/auth/logout', {method: 'POST', headers: {'Content-Type': 'application/json', \
         Authorization: 'Bearer ' + kept.access_token}, body: JSON.stringify({refresh_token: kept.refresh_token})}) \
         .then(r => r.status)",
    );
    desk.pass(590);
    desk.until("desk.title() === 'Your session has ended'");
    desk.return_to_now();
    desk.fill("Password", PASSWORD);
    desk.click("Log in");
    desk.until("desk.title() === 'Register a cluster' && desk.control('Name').value === 'gamma'");
    let mut other = desk.beside("events");
    other.read();
    other.open_user_menu();
    other.click("Log out");
    desk.until("!document.querySelector('dialog') && desk.control('User name')");
    desk.has_no_complaint_but(is_of_network);
}
