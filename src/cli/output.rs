//! The standard output and the standard error, either of which its reader may close.

use std::{
    fmt,
    io::{self, Write},
};

use super::{Failure, text::terminal_safe};

/// Reports what has been done. A closed standard output is no reason to stop.
pub(super) fn report(text: &str) {
    let _ = print(text);
}

/// Writes to the standard output. When its reader, such as `head`, has closed it, the command ends quietly.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::new(1, format!("cannot write to the standard output: {error}")),
    })
}

/// Writes a line to the standard error, safe for a terminal. Whether it is read does not matter.
pub(super) fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "fedgate: {}", terminal_safe(&line.to_string()));
}
