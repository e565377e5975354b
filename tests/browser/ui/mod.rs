//! Sensu's own web UI, unmodified, on three clusters. A build of it is not at hand everywhere, so these pass at once
//! when there is none. To run them:
//!
//! ```sh
//! export FEDGATE_TEST_WEB_UI=/path/to/web/build/app         # its index.html lies there; or the URL of what serves it
//! export FEDGATE_TEST_WEB_UI_SHOTS=/tmp/shots               # optional: a picture of each step, and why it failed
//! export FEDGATE_TEST_WEB_UI_LOADS=100                      # optional: loads of each page through a slow line
//! export FEDGATE_TEST_SENSU=https://127.0.0.1:8080,https://127.0.0.1:8180,https://127.0.0.1:8280
//! export FEDGATE_TEST_SENSU_CA=ca.pem                       # optional: three real backends with one key pair, in place
//! export FEDGATE_TEST_SENSU_PUB=public.pem                  # of simulated ones; administrator admin / P@ssw0rd!
//! cargo test --test browser sensus_own -- --nocapture
//! ```

mod bulk;
mod outage;
mod slow;
mod tour;
mod user;
mod viewer;

use std::path::Path;

use serde_json::json;
use tokio::sync::Mutex;

use self::user::User;
use crate::world::World;

/// Clusters, and the administrator at the screen; none without a build of the web UI.
async fn start() -> Option<(World, User)> {
    let Some(build) = std::env::var_os("FEDGATE_TEST_WEB_UI") else {
        println!("skipped: FEDGATE_TEST_WEB_UI is not set");
        return None;
    };
    // One at a time: real backends are the same for all.
    let turn = TURN.lock().await;
    let browser = crate::page::Page::new();
    let build = Path::new(&build);
    let world = match World::real(build).await {
        Some(world) => world,
        None => World::start(build).await,
    };
    let user = User::new(turn, browser, world.url.clone());
    Some((world, user))
}

#[tokio::test(flavor = "multi_thread")]
async fn sensus_own_web_ui_works_on_every_cluster() {
    let Some((_world, mut user)) = start().await else { return };
    user.step("sign in", User::sign_in);
    user.seed();
    for cluster in ["alpha", "local-cluster", "beta"] {
        tour::tour(&mut user, cluster);
        bulk::bulk(&mut user, cluster);
    }
    user.step("a cluster that is not there is not found", |user| {
        user.open("/n/default@gone/entities");
        user.shows("The namespace default@gone could not be loaded");
        user.open("/n/default/entities");
        user.shows("ui-web");
    });
    user.step("sign out", |user| {
        user.open("/n/default/events");
        user.shows("ui-web › ui-check");
        let key = |kind: &str| json!({"type": kind, "key": ",", "code": "Comma", "windowsVirtualKeyCode": 188, "modifiers": 2});
        user.browser.call("Input.dispatchKeyEvent", key("rawKeyDown"));
        user.browser.call("Input.dispatchKeyEvent", key("keyUp"));
        user.press("Sign-out");
        user.shows("with your Sensu Account");
    });
    user.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn sensus_own_web_ui_stays_up_when_a_cluster_is_unhealthy() {
    let Some((world, mut user)) = start().await else { return };
    user.step("sign in", User::sign_in);
    user.seed();
    outage::outages(&mut user, &world);
    user.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn sensus_own_web_ui_shows_a_viewer_of_every_cluster_the_same() {
    let Some((_world, mut user)) = start().await else { return };
    viewer::viewer(&mut user);
    user.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn sensus_own_web_ui_works_with_a_slow_cluster() {
    let Some((world, mut user)) = start().await else { return };
    user.step("sign in", User::sign_in);
    user.seed();
    slow::slow(&mut user, &world);
    user.done();
}

static TURN: Mutex<()> = Mutex::const_new(());
