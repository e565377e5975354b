//! The standard output and the standard error, either of which its reader may close.

use std::{
    fmt,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    Failure,
    look::columns,
    text::{fit, terminal_safe},
};

/// Whether the last line of the terminal says how far the command is.
static IN_PROGRESS: AtomicBool = AtomicBool::new(false);

/// Reports what has been done. A closed standard output is no reason to stop.
pub(super) fn report(text: &str) {
    let _ = print(text);
}

/// Writes to the standard output. When its reader, such as `head`, has closed it, the command ends quietly.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    erase_progress();
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::new(1, format!("cannot write to the standard output: {error}")),
    })
}

/// Writes a line to the standard error, safe for a terminal. Whether it is read does not matter.
pub(super) fn note(line: impl fmt::Display) {
    erase_progress();
    let _ = writeln!(io::stderr(), "fedgate: {}", terminal_safe(&line.to_string()));
}

/// Says on the terminal of the standard error how far the command is, until something else is written.
pub(super) fn progress(text: &str) {
    let mut stderr = io::stderr().lock();
    // A line that fills its row wraps on some terminals, and only its last row could be erased.
    let width = columns(&stderr).unwrap_or(80) - 1;
    IN_PROGRESS.store(true, Ordering::Relaxed);
    let _ = write!(stderr, "\r\x1b[K{}", fit(&terminal_safe(text), width)).and_then(|()| stderr.flush());
}

/// Erases that line.
pub(super) fn erase_progress() {
    if IN_PROGRESS.swap(false, Ordering::Relaxed) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
    }
}
