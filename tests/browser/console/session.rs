//! Logging in and out, and what is kept of it.

use super::{Desk, PASSWORD, is_of_network, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_web_ui_leads_to_the_login_which_says_what_is_wrong() {
    let world = world().await;
    let mut desk = Desk::new(&world);
    desk.page.open(&world.url);
    assert_eq!(desk.see("location.pathname"), "/console/");
    desk.log_in("admin", "wrong");
    desk.shows("wrong user name or password");
    desk.log_in("admin", PASSWORD);
    desk.until("document.querySelectorAll('li.card').length === 3");
    assert_eq!(desk.see("localStorage.length"), 0);
    assert_eq!(desk.see("document.cookie"), "");
    // A refused password is an answer, and the only one that the browser may complain of.
    desk.has_no_complaint_but(|text| text.contains("401") && text.ends_with("/auth"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_renewed_while_a_tab_is_open_and_survives_a_reload() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=status:critical");
    desk.read();
    let kept = "JSON.parse(sessionStorage.getItem('fedgate-console-session')).access_token";
    let first = desk.see(kept);
    // Longer than an access token lives.
    desk.pass(590);
    desk.until(&format!("{kept} !== {first}"));
    desk.return_to_now();
    desk.click("Read now");
    desk.read();
    desk.reload();
    desk.read();
    assert_eq!(desk.see("location.search"), "?q=status:critical");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_keeps_the_page_and_asks_again() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=check:cpu&sort=cluster");
    desk.read();
    desk.keys("j x");
    desk.until_rows("rows[1].selected");
    // The cluster forgets the login; then the access token comes to its end.
    desk.see(
        "const kept = JSON.parse(sessionStorage.getItem('fedgate-console-session')); \
         fetch('/auth/logout', {method: 'POST', headers: {'Content-Type': 'application/json', \
         Authorization: 'Bearer ' + kept.access_token}, body: JSON.stringify({refresh_token: kept.refresh_token})}) \
         .then(r => r.status)",
    );
    desk.pass(590);
    desk.until("desk.title() === 'Your session has ended'");
    desk.return_to_now();
    let before = desk.rows();
    assert!(before[1]["selected"] == true, "{before:?}");
    desk.keys("Escape");
    desk.log_in("admin", "wrong");
    desk.until("desk.dialog().includes('wrong user name or password')");
    desk.fill("Password", PASSWORD);
    desk.click("Log in");
    desk.closes();
    assert_eq!(desk.see("location.search"), "?q=check:cpu&sort=cluster");
    desk.until_rows("rows[1].selected");
    desk.keys("s");
    desk.until("desk.title().startsWith('Silence')");
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tabs_share_a_login_and_logging_out_in_one_leaves_nothing_in_any() {
    let world = world().await;
    let mut first = Desk::enter(&world, "events");
    first.read();
    let mut second = first.beside("entities");
    second.read();
    first.open_user_menu();
    first.click("Log out");
    for desk in [&mut first, &mut second] {
        desk.until("desk.control('User name')");
        assert_eq!(desk.see("sessionStorage.length"), 0);
        assert_eq!(desk.see("document.querySelectorAll('[role=row]').length"), 0);
        let shown = desk.see("document.body.textContent");
        assert!(!shown.as_str().unwrap().contains("alpha"), "{shown}");
        desk.reload();
        desk.until("desk.control('User name')");
    }
    // The cluster knows of it, too.
    let told = |world: &crate::world::World| {
        world.sensus[0].requests().iter().any(|request| request.path_and_query == "/auth/logout")
    };
    assert!(told(&world));
    first.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_every_cluster_and_is_told_what_they_may_not_do() {
    let world = world().await;
    let mut desk = Desk::enter_as(&world, "events?q=check:cpu+status:incident", "viewer");
    desk.read();
    desk.until_rows("new Set(rows.map(row => row.Cluster)).size === 3");
    desk.keys("x r");
    desk.hears("1 of 1 failed");
    desk.hears("you may not do this");
    // What was refused is not offered again.
    desk.until("desk.button('Resolve').disabled && desk.button('Resolve').title.includes('may not')");
    // Rights may be to some names only: nothing is known of another event yet.
    desk.keys("x j x");
    desk.until("!desk.button('Resolve').disabled");
    desk.go("clusters");
    desk.shows("beta");
    desk.shows("You may look, but not change this.");
    assert_eq!(desk.see("desk.button('Register a cluster') === undefined"), true);
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_one_namespace_sees_what_it_has_in_every_cluster() {
    let world = world().await;
    for cluster in 0..3 {
        let user = serde_json::json!({"username": "dora", "password": PASSWORD, "groups": ["shift"]});
        world.put(cluster, "users/dora", &user);
        let binding = serde_json::json!({
            "metadata": {"name": "shift", "namespace": "default"}, "subjects": [{"type": "Group", "name": "shift"}],
            "role_ref": {"type": "ClusterRole", "name": "view"},
        });
        world.put(cluster, "namespaces/default/rolebindings/shift", &binding);
    }
    let mut desk = Desk::enter_as(&world, "events", "dora");
    desk.read();
    desk.until_rows("new Set(rows.map(row => row.Cluster)).size === 3");
    let namespaces = desk.column("Namespace");
    assert!(namespaces.iter().all(|namespace| namespace == "default"), "{namespaces:?}");
    desk.misses_nothing();
}
