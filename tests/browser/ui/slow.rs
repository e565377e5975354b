//! Every page through a slow line, repeatedly.

use std::time::Duration;

use super::{tour::every_page, user::User};
use crate::{link::Line, world::World};

pub(super) fn slow(user: &mut User, world: &World) {
    let loads: usize = std::env::var("FEDGATE_TEST_WEB_UI_LOADS").map_or(2, |loads| loads.parse().unwrap());
    world.links[1].set(Line::Slow(Duration::from_millis(300)));
    for load in 1..=loads {
        // The seed's silence never expires and its events do not change. Only the token has to be fresh.
        user.step(&format!("load {load} of {loads}"), |user| {
            let pages = every_page("alpha").into_iter().filter(|(path, _)| !path.contains('?'));
            for (path, text) in pages {
                user.open(&format!("/n/default@alpha/{path}"));
                user.shows(&text);
                user.is_well(path);
            }
        });
    }
    world.links[1].set(Line::Up);
}
