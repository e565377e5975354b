use std::{io, path::PathBuf};

use crate::{
    error::{Access, Advice, Classify, ErrorKind, Reply},
    net::FileTimeout,
    upstream,
};

/// Why a directory cannot be served. Each is a line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory is missing or may not be read.
    #[error("web-ui.directory: cannot read {}: {error}{}", path.display(), Advice(error, Access::Read))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The directory could not be read in time.
    #[error("web-ui.directory: cannot read {}: {error}", path.display())]
    Timeout {
        /// The directory.
        path: PathBuf,
        /// What to look at.
        error: FileTimeout,
    },
    /// No built UI lies there: usually its sources, or a directory above it.
    #[error("web-ui.directory: {} has no index.html: name the directory of a built web UI", path.display())]
    NoIndex {
        /// The directory.
        path: PathBuf,
    },
    /// A symbolic link would serve something else.
    #[error("web-ui.directory: {} links to something outside the directory: put a copy in its place", path.display())]
    Outside {
        /// The link.
        path: PathBuf,
    },
    /// A name that is no UTF-8 has no URL.
    #[error("web-ui.directory: the name of {} is not UTF-8: rename it", path.display())]
    Name {
        /// The file or directory.
        path: PathBuf,
    },
    /// The files do not fit into memory: usually something else lies there too.
    #[error("web-ui.directory: {} has more than {limit_mib} MiB: leave only the built web UI in it", path.display())]
    TooLarge {
        /// The directory.
        path: PathBuf,
        /// How much may be in it.
        limit_mib: u64,
    },
    /// Too many entries: usually something else lies there too, or links lead in a circle.
    #[error("web-ui.directory: {} has more than {limit} entries: leave only the built web UI in it", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many there may be.
        limit: usize,
    },
}

/// Why a page could not be served.
#[derive(Debug, thiserror::Error)]
pub enum WebUiError {
    /// The dashboard listener gave no answer: it is down, or `web-ui.upstream` names something else.
    #[error("the web UI is not available: its server (web-ui.upstream) did not answer")]
    Upstream(#[from] upstream::Error),
}

// === impl WebUiError ===

impl Classify for WebUiError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Upstream(error) => error.kind(),
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::Upstream(error) => Reply { message: self.to_string().into(), ..error.reply() },
        }
    }
}
