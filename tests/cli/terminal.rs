//! What a user at a terminal sees, through a pseudo-terminal.

use std::{
    io::{Read, Write},
    num::NonZero,
    process::{Child, Command},
    sync::mpsc,
    time::{Duration, Instant},
};

use pty_process::{
    Size,
    blocking::{Command as AtTerminal, Pty, open},
};

use crate::{
    server::{PASSWORD, Server, answer},
    user::User,
};

const FEDGATE: &str = env!("CARGO_BIN_EXE_fedgate");

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

const EVENTS: &str = r#"[
    {"entity":{"metadata":{"name":"web-01","namespace":"default"}},"check":{"metadata":{"name":"disk"},"status":2,"output":"DISK CRITICAL: 97 % of / is used, which is more than the 95 % that are allowed on this machine"},"timestamp":1764000000,"id":"3f2b8f0e-9d3a-4d36-8b7c-0d9e1f2a3b4c"},
    {"entity":{"metadata":{"name":"web-01","namespace":"default"}},"check":{"metadata":{"name":"load"},"status":0,"output":"OK\u001b[2J"},"timestamp":1764000000,"id":"4f2b8f0e-9d3a-4d36-8b7c-0d9e1f2a3b4c"}
]"#;

/// A terminal with a command that runs in it.
struct Terminal {
    child: Child,
    pty: Pty,
    output: mpsc::Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Everything that was written to it.
    raw: Vec<u8>,
}

impl Terminal {
    /// Runs a command of the user in it.
    fn run(user: &User, args: &[&str], columns: u16, variables: &[(&str, &str)]) -> Self {
        Self::start(FEDGATE, args, user, columns, variables)
    }

    /// Runs a script of the user in it, in which `fedgate` is our command.
    fn shell(user: &User, script: &str, columns: u16) -> Self {
        let script = script.replace("fedgate ", &format!("{FEDGATE} "));
        Self::start("sh", &["-c", &script], user, columns, &[])
    }

    fn start(program: &str, args: &[&str], user: &User, columns: u16, variables: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(ROWS, columns)).unwrap();
        let like = user.command(&[]);
        let environment = like.get_envs().map(|(name, value)| (name, value.unwrap_or_default()));
        let at_terminal = AtTerminal::new(program)
            .args(args)
            .env_clear()
            .env("TERM", "xterm-256color")
            .envs(environment)
            .envs(variables.iter().copied())
            .current_dir(user.home());
        let child = at_terminal.spawn(pts).unwrap();
        let (sender, output) = mpsc::channel();
        let mut reader = std::fs::File::from(std::os::fd::AsFd::as_fd(&pty).try_clone_to_owned().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose programs are gone fails.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let size = |cells: u16| NonZero::new(cells).unwrap();
        let screen = vt100::Parser::new(size(ROWS), size(columns), 0);
        Self { child, pty, output, screen, raw: Vec::new() }
    }

    /// Waits until the screen is as wanted.
    fn until(&mut self, wanted: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.screen.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(error) => panic!("{error}: {}", self.contents()),
            }
        }
    }

    fn until_shown(&mut self, text: &str) {
        self.until(|screen| screen.contents().contains(text));
    }

    /// Waits for the end of the command; its exit code.
    fn end(&mut self) -> Option<i32> {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(error) => panic!("{error}: {}", self.contents()),
            }
        }
    }

    /// What is on the screen.
    fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&mut self, columns: u16) {
        let size = |cells: u16| NonZero::new(cells).unwrap();
        self.screen.screen_mut().set_size(size(ROWS), size(columns));
        self.pty.resize(Size::new(ROWS, columns)).unwrap();
    }

    /// The color of the first cell of a text on the screen.
    fn color_of(&self, text: &str) -> vt100::Color {
        let contents = self.contents();
        let (row, line) = contents.lines().enumerate().find(|(_, line)| line.contains(text)).unwrap();
        let column = line[..line.find(text).unwrap()].chars().count();
        let screen = self.screen.screen();
        screen.cell(u16::try_from(row).unwrap(), u16::try_from(column).unwrap()).unwrap().fgcolor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ROWS: u16 = 12;

fn with_events() -> (Server, User) {
    let server = Server::start();
    let user = User::of(&server);
    server.always("/api/core/v2/", 200, &[], EVENTS);
    (server, user)
}

#[test]
fn a_table_at_a_terminal_fits_it_and_has_colors_and_words() {
    let (_server, user) = with_events();
    let mut terminal = Terminal::run(&user, &["list", "event"], 100, &[]);
    assert_eq!(terminal.end(), Some(0));
    let shown = terminal.contents();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("ENTITY  CHECK  CLUSTER        OUTPUT "), "{shown}");
    assert!(lines[1].starts_with("web-01  disk   local-cluster  DISK CRITICAL: 97 %"), "{shown}");
    assert!(lines[1].contains("…  CRITICAL  "), "{shown}");
    assert!(lines[2].contains("OK\\u{1b}[2J"), "{shown}");
    // No line goes on in the next row.
    assert_eq!(lines.len(), 4, "{shown}");
    assert_eq!(lines[3], "(not shown for want of space: UUID)");
    assert_eq!(terminal.color_of("CRITICAL  "), vt100::Color::Idx(1));
    assert_eq!(terminal.color_of("disk"), vt100::Color::Default);
    let mut wide = Terminal::run(&user, &["list", "event"], 250, &[]);
    assert_eq!(wide.end(), Some(0));
    assert!(wide.contents().contains("allowed on this machine") && wide.contents().contains("3f2b8f0e-9d3a"));
}

#[test]
fn colors_follow_the_variables_that_everybody_knows() {
    let (_server, user) = with_events();
    for (variables, is_colored) in [
        (&[][..], true),
        (&[("NO_COLOR", "1")], false),
        (&[("NO_COLOR", "")], true),
        (&[("TERM", "dumb")], false),
        (&[("CLICOLOR", "0")], false),
        (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false),
        (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true),
    ] {
        let mut terminal = Terminal::run(&user, &["list", "event"], 100, variables);
        assert_eq!(terminal.end(), Some(0));
        assert_eq!(terminal.raw().contains('\u{1b}'), is_colored, "{variables:?}: {:?}", terminal.raw());
        // People read words, colored or not.
        assert!(terminal.contents().contains("…  CRITICAL  "), "{}", terminal.contents());
    }
    // In a pipe nothing is cut or colored, and a status is a number.
    let plain = user.ok(&["list", "event"]);
    assert!(plain.contains("allowed on this machine  2  ") && !plain.contains('\u{1b}'), "{plain}");
    let mut user = user;
    user.set("CLICOLOR_FORCE", "1");
    let forced = user.ok(&["list", "event"]);
    assert!(forced.contains("allowed on this machine  \u{1b}[1m\u{1b}[31m2\u{1b}[0m  "), "{forced:?}");
}

#[test]
fn a_watched_list_is_drawn_in_place_until_ctrl_c_gives_the_screen_back() {
    let (server, user) = with_events();
    let script = "trap : INT; echo before; fedgate list event --watch 0.1; echo \"ended with $?\"";
    let mut terminal = Terminal::shell(&user, script, 80);
    terminal.until_shown("Every 0.1 s: fedgate list event");
    terminal.until_shown("CRITICAL");
    assert!(terminal.screen.screen().alternate_screen() && terminal.screen.screen().hide_cursor());
    assert!(!terminal.contents().contains("before"), "{}", terminal.contents());

    // A round that fails is told, over what was there before it, and the next one goes on.
    server.always(
        "/api/core/v2/",
        502,
        &[],
        r#"{"message":"no cluster answered","clusters":{"alpha":"timeout"}}"#,
    );
    terminal.until_shown("no cluster answered (alpha: timeout)");
    assert!(terminal.contents().contains("CRITICAL"), "{}", terminal.contents());
    server.always("/api/core/v2/", 200, &[], &EVENTS.replace("\"status\":2", "\"status\":1"));
    terminal.until(|screen| !screen.contents().contains("no cluster answered"));
    // Nothing is left of what was drawn before.
    terminal.until(|screen| {
        let shown = screen.contents();
        shown.contains("WARNING") && shown.matches("web-01").count() == 2
    });

    // Another size is heeded: now there is room for all.
    assert!(!terminal.contents().contains("3f2b8f0e"), "{}", terminal.contents());
    terminal.resize(250);
    terminal.until_shown("3f2b8f0e-9d3a-4d36-8b7c-0d9e1f2a3b4c");

    terminal.press("\u{3}");
    terminal.until_shown("ended with 130");
    terminal.end();
    let screen = terminal.screen.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor());
    assert!(terminal.contents().starts_with("before"), "{}", terminal.contents());
    assert!(terminal.raw().contains("\u{1b}[?7h"), "lines are continued again");
}

#[test]
fn a_watch_that_cannot_work_ends_at_once_and_leaves_the_screen_alone() {
    let (server, user) = with_events();
    server.always("/api/enterprise", 404, &[], r#"{"code":2,"message":"not found"}"#);
    let mut terminal = Terminal::run(&user, &["status", "--watch", "1"], 80, &[]);
    assert_eq!(terminal.end(), Some(1));
    assert!(terminal.contents().contains("has no federation status"), "{}", terminal.contents());
    assert!(!terminal.raw().contains("[?1049h"), "{:?}", terminal.raw());
}

#[test]
fn a_watch_renews_its_login() {
    let (server, user) = with_events();
    let mut tokens = server.log_in();
    tokens["expires_at"] = 1.into();
    user.save(&server.url, &tokens);
    let mut terminal = Terminal::run(&user, &["list", "event", "--watch", "0.1"], 80, &[]);
    terminal.until_shown("CRITICAL");
    let lines = server.take_lines();
    assert_eq!(lines.iter().filter(|line| *line == "POST /auth/token").count(), 1, "{lines:?}");
    assert_ne!(user.saved()["access_token"], tokens["access_token"]);
}

#[test]
fn a_password_is_asked_for_without_being_shown() {
    let (server, user) = with_events();
    let user_name = ["list", "event", "--url", &server.url, "--user", "admin"];
    let mut terminal = Terminal::run(&user, &user_name, 100, &[]);
    terminal.until_shown("Password of admin: ");
    terminal.press(&format!("{PASSWORD}\r"));
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.contents().contains("CRITICAL"), "{}", terminal.contents());
    assert!(!terminal.raw().contains(PASSWORD), "{:?}", terminal.raw());

    // Ctrl-C in the middle of it ends the command, and the shell's echo is back.
    let script = format!(
        "fedgate list event --url {} --user admin; stty -a | grep -o ' echo '; echo \"code $?\"",
        server.url
    );
    let mut terminal = Terminal::shell(&user, &script, 100);
    terminal.until_shown("Password of admin: ");
    terminal.press("sec\u{3}");
    terminal.until_shown("code 0");
    assert!(!terminal.raw().contains("sec"), "{:?}", terminal.raw());
}

#[test]
fn progress_is_told_at_a_terminal_and_erased() {
    let server = Server::start();
    let user = User::of(&server);
    let asset = |n: u32| {
        format!(
            "type: Asset\napi_version: core/v2\nmetadata: {{name: n{n}, namespace: default}}\nspec: {{}}\n"
        )
    };
    let text = (0..60).map(asset).collect::<Vec<_>>().join("---\n");
    user.write("many.yaml", &text);
    server.rule(|asked| {
        asked.target.starts_with("/api").then(|| {
            std::thread::sleep(Duration::from_millis(40));
            answer(201, &[], "")
        })
    });
    // Only what is done is on the standard output.
    let mut terminal = Terminal::shell(&user, "fedgate create -f many.yaml > done.txt; echo finished", 100);
    terminal.until_shown("applying: ");
    assert!(terminal.contents().contains(" of 60 ("), "{}", terminal.contents());
    terminal.until_shown("finished");
    terminal.end();
    assert_eq!(terminal.contents(), "finished");
    let done = std::fs::read_to_string(user.home().join("done.txt")).unwrap();
    assert_eq!((done.lines().count(), done.contains('\u{1b}')), (60, false));
    // Lines of the output and of progress on one terminal do not mix.
    let mut terminal = Terminal::shell(&user, "fedgate delete -f many.yaml; echo finished", 100);
    terminal.until_shown("finished");
    terminal.end();
    assert!(terminal.raw().contains("deleting: "), "{:?}", terminal.raw());
    let shown = terminal.contents();
    assert!(shown.lines().all(|line| line.starts_with("deleted ") || line == "finished"), "{shown}");
    // Without a terminal there is none.
    let done = user.run(&["create", "-f", "many.yaml"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
}

#[test]
fn rounds_in_a_pipe_follow_each_other() {
    let (server, user) = with_events();
    let rounds = |format: &str, lines: usize| {
        let script =
            format!("{FEDGATE} list event --watch 0.1 --format {format} 2> errors.txt | head -n {lines}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env_clear().env("HOME", user.home()).env("PATH", "/usr/bin:/bin");
        String::from_utf8(shell.current_dir(user.home()).output().unwrap().stdout).unwrap()
    };
    let tables = rounds("tabular", 9);
    let lines: Vec<&str> = tables.lines().collect();
    for first in [0, 5] {
        assert!(lines[first].ends_with('Z') && lines[first].len() == 20, "{tables}");
        assert!(lines[first + 1].starts_with("ENTITY") && lines[first + 3].contains("load"), "{tables}");
    }
    assert_eq!((lines[4], tables.contains('\u{1b}')), ("", false), "{tables}");
    let yaml = rounds("yaml", 400);
    assert!(yaml.starts_with("---\n") && yaml.matches("---\n").count() > 4, "{yaml}");
    let json = rounds("json", 100);
    let mut arrays = serde_json::Deserializer::from_str(&json).into_iter::<serde_json::Value>();
    assert!((0..2).all(|_| arrays.next().unwrap().unwrap().as_array().unwrap().len() == 2), "{json}");

    // What fails is told on the standard error, and the next round goes on.
    let fails = std::sync::atomic::AtomicUsize::new(0);
    server.rule(move |asked| {
        let is_second = fails.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1;
        (asked.target.starts_with("/api") && is_second).then(|| answer(503, &[], "starting"))
    });
    assert_eq!(rounds("tabular", 9).lines().count(), 9);
    let errors = std::fs::read_to_string(user.home().join("errors.txt")).unwrap();
    assert_eq!(errors, "fedgate: starting\n");
}
