//! Without a mouse.

use super::{Desk, PASSWORD, world};

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_shift_is_done_with_the_keyboard_alone() {
    let world = world().await;
    let mut desk = Desk::new(&world);
    desk.open("");
    desk.until("desk.control('User name')?.matches(':focus')");
    desk.write("admin");
    desk.keys("Tab");
    desk.write(PASSWORD);
    desk.keys("Enter");
    desk.until("document.querySelectorAll('li.card').length === 3");
    desk.keys("g v");
    desk.read();
    desk.keys("/");
    desk.write("check:cpu silenced:no");
    desk.keys("Enter Escape");
    desk.until_rows("rows.every(row => row.Check === 'cpu')");
    // Down, up, select two of three.
    let cursor = "[...document.querySelectorAll('[role=row]')].findIndex(row => row.matches('.cursor'))";
    let first = desk.see(cursor);
    desk.keys("j j k");
    desk.until(&format!("{cursor} === {first} + 1"));
    desk.keys("x j x");
    desk.until_rows("rows.filter(row => row.selected).length === 2");
    desk.keys("s");
    desk.until("desk.title().startsWith('Silence 2 events')");
    desk.until("desk.control('Reason').matches(':focus')");
    desk.write("by keyboard");
    desk.keys("Enter");
    desk.hears("2 done");
    desk.closes();
    desk.keys("?");
    desk.until("desk.title() === 'Keys'");
    desk.keys("Escape");
    desk.closes();
    desk.keys("g i");
    desk.until("location.pathname.endsWith('/silences')");
    desk.until_rows("rows.filter(row => row.Reason === 'by keyboard').length === 2");
    // A menu opens, is walked and closed from the keys.
    desk.see("desk.button('Views').focus()");
    desk.keys("Enter");
    desk.until("document.querySelector('[role=menu] button:focus')");
    desk.keys("ArrowDown Escape");
    desk.until("!document.querySelector('[role=menu]') && desk.button('Views').matches(':focus')");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_drawn_again_keeps_the_focus_where_it_was() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "");
    for (page, focused) in
        [("", "document.querySelectorAll('ol.lines a')[2]"), ("clusters", "desk.all('li.card a')[2]")]
    {
        desk.go(page);
        desk.until("!/reading/i.test(document.querySelector('main').innerText)");
        desk.until(&format!(
            "{focused} && (window.before = {focused}, before.focus(), before.matches(':focus'))"
        ));
        desk.pass(12);
        desk.until("!before.isConnected && document.activeElement.textContent === before.textContent");
    }
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_opened_with_enter_and_the_focus_is_never_lost() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=check:cpu");
    desk.read();
    let row = desk.rows()[1].clone();
    desk.keys("j Enter");
    desk.until("location.pathname.endsWith('/event')");
    desk.shows(&format!("{} / cpu", row["Entity"].as_str().unwrap()));
    desk.page.eval("history.back()");
    desk.read();
    // Whatever has the focus can be seen to have it.
    for _ in 0..12 {
        desk.keys("Tab");
        desk.until(
            "const focused = document.activeElement; return focused === document.body || \
             (focused.getClientRects().length && (getComputedStyle(focused).outlineStyle !== 'none' || focused.matches('main')))",
        );
    }
    desk.is_well();
}
