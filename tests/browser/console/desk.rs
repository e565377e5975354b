//! A person at the console: what they see and do, by the names that things have on the screen.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    chromium::PATIENCE,
    page::{Page, Realm},
    world::World,
};

/// A tab that shows the console.
pub(super) struct Desk {
    pub(super) page: Page,
    url: String,
    worker: Option<Realm>,
    /// Seconds that the browser's clock is ahead.
    ahead: u64,
    /// Whether that clock stands still.
    stopped: bool,
}

// === impl Desk ===

impl Desk {
    /// An empty browser, at no page yet.
    pub(super) fn new(world: &World) -> Self {
        Self::at(Page::new(), world.url.clone())
    }

    fn at(mut page: Page, url: String) -> Self {
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": include_str!("desk.js")}));
        Self { page, url, worker: None, ahead: 0, stopped: false }
    }

    /// Opens a page of the console and logs in as the administrator.
    #[track_caller]
    pub(super) fn enter(world: &World, page: &str) -> Self {
        Self::enter_as(world, page, "admin")
    }

    #[track_caller]
    pub(super) fn enter_as(world: &World, page: &str, user: &str) -> Self {
        let mut desk = Self::new(world);
        desk.open(page);
        desk.log_in(user, PASSWORD);
        desk.until("document.body.classList.contains('inside')");
        desk
    }

    /// Another tab of the same browser.
    pub(super) fn beside(&self, page: &str) -> Self {
        let mut desk = Self::at(self.page.beside(), self.url.clone());
        desk.open(page);
        desk
    }

    // === going ===

    #[track_caller]
    pub(super) fn open(&mut self, page: &str) {
        let url = format!("{}/console/{page}", self.url);
        self.page.open(&url);
    }

    /// As the browser's button does.
    #[track_caller]
    pub(super) fn reload(&mut self) {
        // Chromium does not connect a page to a worker that is being looked at and has no other page.
        self.worker = None;
        self.ahead = 0;
        self.page.reload();
    }

    /// Goes to another page of the console as its links do, without loading it.
    pub(super) fn go(&mut self, page: &str) {
        let address = json!(format!("/console/{page}"));
        self.page
            .eval(&format!("history.pushState(null, '', {address}); dispatchEvent(new Event('navigated'))"));
    }

    #[track_caller]
    pub(super) fn log_in(&mut self, user: &str, password: &str) {
        self.until("desk.control('User name')");
        self.fill("User name", user);
        self.fill("Password", password);
        self.click("Log in");
    }

    // === doing ===

    /// Clicks what has this name, in the dialog or menu if there is one, as soon as it can be clicked.
    #[track_caller]
    pub(super) fn click(&mut self, name: &str) {
        self.until(&format!("desk.click({})", json!(name)));
    }

    #[track_caller]
    pub(super) fn fill(&mut self, label: &str, value: impl Into<Value>) {
        self.until(&format!("desk.fill({}, {})", json!(label), value.into()));
    }

    /// Presses keys, separated by spaces, as a keyboard does.
    pub(super) fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            let (code, text) = match key {
                "Enter" => (13, "\r"),
                "Tab" | "Back-Tab" => (9, ""),
                "Escape" => (27, ""),
                "Space" => (32, " "),
                "ArrowUp" => (38, ""),
                "ArrowDown" => (40, ""),
                letter => {
                    (letter.bytes().next().map_or(0, |byte| u32::from(byte.to_ascii_uppercase())), letter)
                }
            };
            let name = match key {
                "Space" => " ",
                "Back-Tab" => "Tab",
                key => key,
            };
            let modifiers = if key == "Back-Tab" { 8 } else { 0 };
            let mut event = json!({"type": "keyDown", "key": name, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            if !text.is_empty() {
                event["text"] = json!(text);
            }
            self.page.call("Input.dispatchKeyEvent", event.clone());
            event["type"] = json!("keyUp");
            event.as_object_mut().unwrap().remove("text");
            self.page.call("Input.dispatchKeyEvent", event);
            if key == "Escape" {
                // A dialog that was closed keeps the focus until it is taken away; no hand is as fast as that.
                self.until("!document.querySelector('dialog:not([open])')");
            }
        }
    }

    /// Writes where the caret is.
    pub(super) fn write(&mut self, text: &str) {
        self.page.call("Input.insertText", json!({"text": text}));
    }

    /// Chooses what asks first, and says yes to the dialog of this title.
    #[track_caller]
    pub(super) fn confirm(&mut self, name: &str, title: &str) {
        self.click(name);
        self.until(&format!("desk.title() === {}", json!(title)));
        self.click(name);
    }

    /// Fills in the form for so many events that is about to open, and has them silenced, in all clusters together.
    #[track_caller]
    pub(super) fn silence(&mut self, events: usize, reason: &str, time: &str) {
        self.until(&format!("desk.title().startsWith('Silence {events} events')"));
        self.fill("Reason", reason);
        self.fill("For", time);
        self.fill("Until resolved", true);
        self.click("Silence");
        self.hears(&format!("{events} done in"));
    }

    /// Opens the menu at the user's name.
    pub(super) fn open_user_menu(&mut self) {
        self.see("document.querySelector('header button[aria-haspopup=menu]').click()");
    }

    // === seeing ===

    #[track_caller]
    pub(super) fn until(&mut self, expression: &str) {
        self.page.until(expression);
    }

    pub(super) fn see(&mut self, expression: &str) -> Value {
        self.page.eval(expression)
    }

    /// Waits until the table was read from every cluster that answers.
    #[track_caller]
    pub(super) fn read(&mut self) {
        self.until("desk.read()");
    }

    /// Waits until this is true of the `rows` that are drawn.
    #[track_caller]
    pub(super) fn until_rows(&mut self, condition: &str) {
        self.until(&format!("const rows = desk.rows(); return rows.length > 0 && ({condition})"));
    }

    pub(super) fn rows(&mut self) -> Vec<Value> {
        self.see("desk.rows()").as_array().cloned().unwrap_or_default()
    }

    /// What the drawn rows have in one column.
    pub(super) fn column(&mut self, title: &str) -> Vec<String> {
        let cell = |row: &Value| row[title].as_str().map(ToOwned::to_owned);
        self.rows().iter().filter_map(cell).collect()
    }

    /// Waits for a report of what was done.
    #[track_caller]
    pub(super) fn hears(&mut self, text: &str) {
        self.until(&format!("desk.said().includes({})", json!(text)));
    }

    /// Waits until the page says this somewhere.
    #[track_caller]
    pub(super) fn shows(&mut self, text: &str) {
        self.until(&format!("desk.text(document.body).includes({})", json!(text)));
    }

    /// Waits until there is no dialog any more.
    #[track_caller]
    pub(super) fn closes(&mut self) {
        self.until("!document.querySelector('dialog[open]')");
    }

    /// Waits until the address has this parameter.
    #[track_caller]
    pub(super) fn until_parameter(&mut self, name: &str, value: &str) {
        self.until(&format!(
            "new URLSearchParams(location.search).get({}) === {}",
            json!(name),
            json!(value)
        ));
    }

    /// Waits until the page names what is missing from it.
    #[track_caller]
    pub(super) fn misses(&mut self, text: &str) {
        self.until(&format!("desk.missing().includes({})", json!(text)));
    }

    #[track_caller]
    pub(super) fn misses_nothing(&mut self) {
        self.until("desk.missing() === ''");
    }

    // === beside the page ===

    /// The answer to a request of the logged-in user.
    pub(super) fn get(&mut self, path: &str) -> Value {
        self.send("GET", path, &Value::Null)["body"].clone()
    }

    /// The same for any request, with the answer's status.
    pub(super) fn send(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { format!(", body: JSON.stringify({body})") };
        self.see(&format!(
            "fetch({}, {{method: '{method}', headers: {{'Content-Type': 'application/json', Authorization: 'Bearer ' + \
             JSON.parse(sessionStorage.getItem('fedgate-console-session')).access_token}}{body}}})\
             .then(async answer => ({{status: answer.status, body: await answer.json().catch(() => null)}}))",
            json!(path)
        ))
    }

    /// The engine that all tabs share.
    pub(super) fn worker(&mut self) -> &mut Realm {
        let kept = self.worker.take().filter(|worker| self.page.is_there(worker));
        let worker = kept.unwrap_or_else(|| self.page.worker());
        self.worker.insert(worker)
    }

    /// Lets time pass for the browser, so that everything that is due by then is done.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.ahead += seconds;
        self.set_clock();
    }

    /// Time passes when the test says so, and only then: what is due depends on no machine.
    pub(super) fn stop_clock(&mut self) {
        self.stopped = true;
        self.set_clock();
    }

    /// Waits until the engine has done what is due: it looks twice a second.
    #[track_caller]
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 3 {
            assert!(Instant::now() < deadline, "the engine does not come to rest");
            self.worker().eval("new Promise(done => setTimeout(done, 500))");
            quiet = if self.worker().is_idle() { quiet + 1 } else { 0 };
        }
    }

    /// The gateway has the true time, and gives tokens by it.
    pub(super) fn return_to_now(&mut self) {
        self.ahead = 0;
        self.set_clock();
    }

    fn set_clock(&mut self) {
        let clock =
            if self.stopped { "(globalThis.stopped ??= globalThis.clock())" } else { "globalThis.clock()" };
        let shift = format!(
            "globalThis.clock ??= Date.now.bind(Date); Date.now = () => {clock} + {}",
            self.ahead * 1000
        );
        self.page.eval(&shift);
        self.worker().eval(&shift);
    }

    /// Fails when the page has complained of anything, or asked anybody else than the gateway.
    #[track_caller]
    pub(super) fn is_well(&mut self) {
        self.has_no_complaint_but(|_| false);
    }

    #[track_caller]
    pub(super) fn has_no_complaint_but(&mut self, expected: impl Fn(&str) -> bool) {
        let mut found = self.page.complaints();
        found.extend(self.worker().complaints());
        found.retain(|text| !expected(text));
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(self.see("desk.refused"), json!([]), "the policy of the pages was violated");
        let origin = format!("{}/", self.url);
        let mut requested = self.page.requested();
        requested.extend(self.worker().requested());
        let own =
            |url: &String| ["data:", "blob:", "about:", &origin].iter().any(|start| url.starts_with(start));
        requested.retain(|url| !own(url));
        assert_eq!(requested, Vec::<String>::new(), "requests to another origin");
    }
}

/// What a browser says of requests that fail while a cluster, or the gateway, is away.
pub(super) fn is_of_network(complaint: &str) -> bool {
    complaint.starts_with("Failed to load resource")
}

pub(super) const PASSWORD: &str = "P@ssw0rd!";
