//! A terminal whose whole screen a command draws, again and again.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use rustix::{
    process::{Signal, getpid, kill_process},
    termios::tcgetwinsize,
};
use tokio::signal::unix::{Signal as Received, SignalKind, signal};

use super::{Failure, look::Look, text::fit};

/// The second screen of a terminal, which gives back the first one with all that was on it.
pub(super) struct Screen {
    terminal: io::Stdout,
}

/// What a user or the system wants of a command that draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end with this code.
    End(u8),
    /// To draw again: the window has another size.
    Draw,
    /// To stop until it is continued.
    Stop,
}

/// The wishes as signals.
pub(super) struct Wishes {
    interrupt: Received,
    terminate: Received,
    hang_up: Received,
    resize: Received,
    stop: Received,
}

// === impl Screen ===

impl Screen {
    /// Takes the screen, and gives it back when it is dropped.
    pub(super) fn take() -> Self {
        let screen = Self { terminal: io::stdout() };
        screen.write(TAKE);
        screen
    }

    /// Draws from the top: each line in its row, as many as there is room for.
    pub(super) fn draw(&self, text: &str, look: &Look) {
        let rows = tcgetwinsize(&self.terminal).map_or(0, |size| usize::from(size.ws_row));
        let rows = if rows == 0 { usize::MAX } else { rows };
        self.write(&screenful(text, rows, look));
    }

    /// Stops the process as Ctrl-Z does any other, and goes on when it is continued.
    pub(super) fn stop(&self) {
        self.write(GIVE_BACK);
        let _ = kill_process(getpid(), Signal::STOP);
        self.write(TAKE);
    }

    /// A terminal that is gone is noticed by its signal.
    fn write(&self, text: &str) {
        let mut terminal = self.terminal.lock();
        let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.write(GIVE_BACK);
    }
}

// === impl Wishes ===

impl Wishes {
    /// From now on, these signals do nothing by themselves.
    pub(super) fn listen() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::new(1, format!("no signals: {error}")));
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hang_up: open(SignalKind::hangup())?,
            resize: open(SignalKind::window_change())?,
            stop: open(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Wish {
        let ended = |signal: Signal| Wish::End(128 + u8::try_from(signal.as_raw()).unwrap_or_default());
        tokio::select! {
            _ = self.interrupt.recv() => ended(Signal::INT),
            _ = self.terminate.recv() => ended(Signal::TERM),
            _ = self.hang_up.recv() => ended(Signal::HUP),
            _ = self.resize.recv() => Wish::Draw,
            _ = self.stop.recv() => Wish::Stop,
        }
    }
}

/// What a terminal needs so that its screen shows the text and nothing else. It does not flicker: nothing is erased that
/// is drawn again.
fn screenful(text: &str, rows: usize, look: &Look) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut drawn = String::from(HOME);
    let shown = if lines.len() <= rows { lines.len() } else { rows.saturating_sub(1) };
    for (index, line) in lines.iter().take(shown).enumerate() {
        let end = if index + 1 < rows.min(lines.len()) { "\r\n" } else { "" };
        let _ = write!(drawn, "{line}{ERASE_LINE}{end}");
    }
    if shown < lines.len() {
        let more = format!("… {} more lines", lines.len() - shown);
        let _ = write!(drawn, "{}{ERASE_LINE}", fit(&more, look.width.unwrap_or(usize::MAX)));
    }
    drawn.push_str(ERASE_BELOW);
    drawn
}

/// The second screen, no cursor, and lines that are cut at the edge instead of continued below.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const GIVE_BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    /// The screen after all of them have been drawn on it.
    fn screen(rows: u16, texts: &[&str]) -> String {
        let size = |cells: u16| cells.try_into().unwrap();
        let mut terminal = vt100::Parser::new(size(rows), size(20), 0);
        let look = Look { width: Some(20), ..Look::default() };
        terminal.process(TAKE.as_bytes());
        for text in texts {
            terminal.process(screenful(text, rows.into(), &look).as_bytes());
        }
        terminal.screen().contents()
    }

    #[test]
    fn a_screen_shows_what_was_drawn_last_and_nothing_else() {
        assert_eq!(screen(3, &["one line\nanother\nthird\n", "1\n2\n"]), "1\n2");
        assert_eq!(screen(3, &["a\nb\nc\n"]), "a\nb\nc");
        assert_eq!(screen(3, &["x", "a\nb\nc\nd\n"]), "a\nb\n… 2 more lines");
        assert_eq!(screen(1, &["a\nb\n"]), "… 2 more lines");
        assert_eq!(screen(2, &["a", ""]), "");
    }
}
