//! What an error must be able to answer, so that one place (`proxy::rescue`) can turn it into HTTP.

use std::{borrow::Cow, error::Error, fmt, io, iter};

use http::StatusCode;

/// Any error, boxed, for tower and hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whose fault an error is; a metric label and the log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The client sent something wrong.
    Client,
    /// The gateway is at one of its bounds.
    Overload,
    /// A cluster could not be reached or answered badly.
    Upstream,
    /// A fault of the gateway itself: a human should look.
    Internal,
}

/// Which of Sensu's error dialects a reply is written in (contract 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"message":"…","code":N}` with `nosniff`: Sensu's routers and handlers.
    Router,
    /// `{"Code":N,"Message":"…"}`: Sensu's authentication and authorization.
    Middleware,
    /// Plain text and a newline.
    Text,
}

/// An error as a client sees it. Never holds an inner error's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// How the body is written.
    pub dialect: Dialect,
    /// Sensu's error code (contract 6); not written in [`Dialect::Text`].
    pub code: u8,
    /// What happened and what to do about it.
    pub message: Cow<'static, str>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
    /// Close the connection after the reply (framing errors).
    pub close: bool,
}

/// What each module's error enum answers about itself.
pub trait Classify: std::error::Error {
    /// Whose fault it is.
    fn kind(&self) -> ErrorKind;

    /// What the client gets.
    fn reply(&self) -> Reply;
}

/// What to do about a file or directory that the system refuses to read or to write; begins with `; `, or is empty.
pub struct Advice<'a>(pub &'a io::Error, pub Access);

/// What was tried with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading it.
    Read,
    /// Writing or creating it.
    Write,
}

/// An error and what caused it, on one line.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

/// An error, then what caused it, down to the root.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause of an error, which is the most specific, on one line.
pub fn root(error: &(dyn Error + 'static)) -> String {
    let full = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // Libraries append where their programmers' documentation is.
    let text = match DOCUMENTATION.iter().filter_map(|place| full.find(place)).min() {
        None => &full,
        Some(end) => {
            let marks: &[char] = &[' ', ':', ';', ',', '(', '<'];
            let text = full[..end].trim_end_matches(marks);
            text.strip_suffix("see").unwrap_or(text).trim_end_matches(marks)
        }
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

// === impl Reply ===

impl Reply {
    /// A reply in Sensu's router dialect.
    pub fn router(status: StatusCode, code: u8, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            dialect: Dialect::Router,
            code,
            message: message.into(),
            retry_after: None,
            close: false,
        }
    }

    /// A reply in Sensu's middleware dialect (401 and 403).
    pub fn middleware(status: StatusCode, code: u8, message: impl Into<Cow<'static, str>>) -> Self {
        Self { dialect: Dialect::Middleware, ..Self::router(status, code, message) }
    }
}

// === impl Chain ===

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(self.0).skip(1).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

// === impl Advice ===

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = rustix::process::geteuid().as_raw();
        match (self.0.kind(), self.1) {
            (io::ErrorKind::NotFound, Access::Read) => f.write_str("; put it there, or name another one"),
            (io::ErrorKind::PermissionDenied, Access::Read) => {
                write!(f, "; user {user}, whom the process runs as, must be allowed to read it")
            }
            (io::ErrorKind::PermissionDenied, Access::Write) => {
                write!(f, "; user {user}, whom the process runs as, must be allowed to write there")
            }
            (io::ErrorKind::ReadOnlyFilesystem, _) => {
                f.write_str("; mount a volume there that can be written")
            }
            (io::ErrorKind::NotADirectory, _) => {
                f.write_str("; what the path names as a directory is a file")
            }
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
                f.write_str("; make room on that file system")
            }
            _ => Ok(()),
        }
    }
}

/// Places of documentation for programmers.
const DOCUMENTATION: [&str; 6] = [
    "https://docs.rs",
    "https://github.com",
    "https://doc.rust-lang.org",
    "https://datatracker.ietf.org",
    "https://www.rfc-editor.org",
    "https://rustls.dev",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_comes_with_what_to_do() {
        let advice = |kind: io::ErrorKind, access| Advice(&kind.into(), access).to_string();
        let user = format!("; user {}, ", rustix::process::geteuid().as_raw());
        let unreadable = advice(io::ErrorKind::PermissionDenied, Access::Read);
        assert!(unreadable.starts_with(&user) && unreadable.ends_with("allowed to read it"), "{unreadable}");
        let unwritable = advice(io::ErrorKind::PermissionDenied, Access::Write);
        assert!(
            unwritable.starts_with(&user) && unwritable.ends_with("allowed to write there"),
            "{unwritable}"
        );
        assert!(advice(io::ErrorKind::ReadOnlyFilesystem, Access::Write).starts_with("; mount a volume"));
        let file = advice(io::ErrorKind::NotADirectory, Access::Write);
        assert!(file.starts_with("; ") && file.ends_with("is a file"), "{file}");
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(advice(full, Access::Write).starts_with("; make room"));
        }
        assert_eq!(advice(io::ErrorKind::NotFound, Access::Read), "; put it there, or name another one");
        assert_eq!(advice(io::ErrorKind::NotFound, Access::Write), "");
    }

    #[test]
    fn no_cause_leads_to_documentation_for_programmers() {
        let said = |text: &str| root(&io::Error::other(text.to_owned()));
        let eof = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual";
        assert_eq!(said(eof), "peer closed connection without sending TLS close_notify");
        assert_eq!(said("it failed (see https://github.com/x/y)"), "it failed");
        assert_eq!(said("it failed, see <https://datatracker.ietf.org/doc/html/rfc9113>"), "it failed");
        assert_eq!(said("two\nlines"), "two lines");
        assert_eq!(
            said("cannot reach https://sensu.example.com:8080"),
            "cannot reach https://sensu.example.com:8080"
        );
        let wrapped = io::Error::other(io::Error::other("the deepest"));
        assert_eq!(root(&wrapped), "the deepest");
    }
}
