//! The standard output and the standard error, either of which may be closed by whoever reads it.

use std::{
    fmt,
    io::{self, Write},
};

use super::{Failure, text::harmless};

/// Reports what has been done. Nobody who reads it is no reason to stop.
pub(super) fn report(text: &str) {
    let _ = put(text);
}

/// Writes to the standard output. A reader who has seen enough, such as `head`, ends the command without a word.
pub(super) fn put(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::new(1, format!("cannot write to the standard output: {error}")),
    })
}

/// Writes a line to the standard error, harmless to a terminal. When nobody reads it, there is nobody to tell.
pub(super) fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "fedgate: {}", harmless(&line.to_string()));
}
