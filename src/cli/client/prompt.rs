use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::cli::{CONFIG, Failure, USAGE};

/// Where a password is.
#[derive(Debug)]
pub(super) enum Password {
    /// In the first line of a file.
    File(PathBuf),
    /// Here.
    Given(String),
    /// In `FEDGATE_PASSWORD`, or in the user's head.
    Ask,
}

/// A terminal with its echo turned off; turned on again on drop.
struct Quiet<'a> {
    terminal: &'a fs::File,
    before: Termios,
}

// === impl Password ===

impl Password {
    /// The password of this user.
    pub(super) fn of(self, user: &str) -> Result<String, Failure> {
        match self {
            Self::Given(password) => Ok(password),
            Self::File(file) => password(user, Some(&file)),
            Self::Ask => password(user, None),
        }
    }
}

/// A line that the user types at the terminal.
pub(super) fn line(label: &str) -> Option<String> {
    let mut terminal = fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    write!(terminal, "{label}: ").ok()?;
    let mut line = String::new();
    BufReader::new(&terminal).read_line(&mut line).ok()?;
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The user's password: from the file, from `FEDGATE_PASSWORD`, or from the terminal.
fn password(user: &str, file: Option<&Path>) -> Result<String, Failure> {
    if let Some(file) = file {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::new(CONFIG, format!("cannot read {}: {error}", file.display())))?;
        // Editors of other systems put a byte-order mark before it.
        let text = text.trim_start_matches('\u{feff}');
        let password = text.lines().next().filter(|line| !line.is_empty());
        let empty = || Failure::new(CONFIG, format!("{} has no password in its first line", file.display()));
        return password.map(str::to_owned).ok_or_else(empty);
    }
    match std::env::var("FEDGATE_PASSWORD") {
        Ok(password) if !password.is_empty() => Ok(password),
        _ => ask(user)
            .ok_or_else(|| Failure::new(USAGE, "no password: give --password-file or set FEDGATE_PASSWORD")),
    }
}

/// Asks on the terminal itself: the standard input may be a file of resources.
pub(super) fn ask(user: &str) -> Option<String> {
    let mut terminal = fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    // Who types as soon as it asks must not be seen, nor lose what they typed.
    let quiet = Quiet::new(&terminal)?;
    write!(&terminal, "Password of {user}: ").ok()?;
    // A terminal returns one line at a time, and none that is longer.
    let mut line = [0; 4096];
    let read = (&terminal).read(&mut line);
    drop(quiet);
    let _ = writeln!(terminal);
    let line = &line[..read.ok()?];
    if line.contains(&CTRL_C) {
        std::process::exit(INTERRUPTED.into());
    }
    let password = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
    (!password.is_empty()).then(|| password.to_owned())
}

// === impl Quiet ===

impl<'a> Quiet<'a> {
    fn new(terminal: &'a fs::File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut quiet = before.clone();
        // Ctrl-C ends the line instead of the process, so that the echo is always restored.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(terminal, OptionalActions::Flush, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

const CTRL_C: u8 = 3;
/// What shells report of a command that Ctrl-C ended.
pub(super) const INTERRUPTED: u8 = 130;
