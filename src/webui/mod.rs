//! Pages for browsers: Sensu's own web UI, from a directory or from the local cluster's dashboard, and the console, which
//! is part of the binary.
//!
//! ```text
//! GET /static/js/app_1f2e.js ─┬─ directory: the file, from memory
//! GET /n/default/events ──────┤             index.html, if a browser navigates
//!                             └─ upstream:  the dashboard's answer, streamed
//! GET /console/events ─────────── console:  its index.html, likewise
//! GET / ───────────────────────── without a web UI: to the console
//! ```
//!
//! These files need no login: they are only the programs. The data that they show come from `/auth`, `/graphql` and `/api`,
//! which are never served here.

mod answer;
mod compress;
mod config;
mod console;
mod dashboard;
mod error;
mod files;
mod media;
mod negotiate;
mod no_page;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::{
    net,
    types::{Backend, TlsFiles},
    upstream::Manager,
    wire::{self, Body},
};

use compress::Effort;
use no_page::start_page;

pub use config::Config;
pub use error::{LoadError, WebUiError};
pub use negotiate::is_navigation;

/// Everything that is served. Replaced as a whole, never changed in place.
#[derive(Debug, Default)]
pub struct Content {
    web_ui: Inner,
    /// Whether the console is served.
    console: bool,
}

#[derive(Debug, Default)]
enum Inner {
    /// Every page is 404.
    #[default]
    Nothing,
    Files(files::Files),
    Dashboard(dashboard::Origin),
}

/// One worker's handle to the pages. Cheap to clone.
#[derive(Clone)]
pub struct WebUi {
    content: Arc<ArcSwap<Content>>,
    dashboard: dashboard::Client,
}

// === impl Content ===

impl Content {
    /// A built UI. Reads the whole directory into memory; later changes need another call.
    pub fn directory(path: &Path) -> Result<Self, LoadError> {
        Ok(Self { web_ui: Inner::Files(files::Files::load(path)?), console: false })
    }

    /// The same on a thread for blocking work, which is given up when its file system hangs.
    pub async fn directory_in_time(path: &Path, compressed: bool) -> Result<Self, LoadError> {
        let owned = path.to_owned();
        let load = move || {
            let content = Self::directory(&owned)?;
            Ok(if compressed { content.compressed() } else { content })
        };
        let loaded = net::within(PATIENCE, load).await;
        loaded.unwrap_or_else(|error| Err(LoadError::Timeout { path: path.to_owned(), error }))
    }

    /// The static part of a dashboard listener, with the certificate files of the local cluster.
    pub fn upstream(dashboard: Backend, tls: TlsFiles) -> Self {
        Self { web_ui: Inner::Dashboard(dashboard::Origin::new(dashboard, tls)), console: false }
    }

    /// The same with compressed forms of the files that came without; see [`Coding::stream`](wire::Coding::stream) for what
    /// is compressed while it is sent.
    #[must_use]
    pub fn compressed(self) -> Self {
        match self.web_ui {
            Inner::Files(files) => Self { web_ui: Inner::Files(files.compressed(Effort::Quick)), ..self },
            Inner::Nothing | Inner::Dashboard(_) => self,
        }
    }

    /// The same with the console, or without it.
    #[must_use]
    pub fn with_console(self, console: bool) -> Self {
        Self { console, ..self }
    }

    /// Paths whose change means that the directory must be read again.
    pub fn watched(&self) -> &[PathBuf] {
        match &self.web_ui {
            Inner::Files(files) => files.watched(),
            Inner::Nothing | Inner::Dashboard(_) => &[],
        }
    }
}

// === impl WebUi ===

impl WebUi {
    /// Serves what `content` holds at the time of each request. `manager` must be for this alone.
    pub fn new(content: Arc<ArcSwap<Content>>, manager: Manager) -> Self {
        Self { content, dashboard: dashboard::Client::new(manager) }
    }

    /// Answers a request for a page or a file of one; `None` when there is none.
    ///
    /// `target` is the request target in origin form. The answer's body may be a stream from the dashboard.
    pub async fn answer(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Body>>, WebUiError> {
        let content = self.content.load_full();
        let path = target.split('?').next().unwrap_or_default();
        if content.console
            && let Some(path) = console::below(path)
        {
            return Ok(console::answer(console::files().await, method, path, target, headers));
        }
        let Some(path) = page(path) else { return Ok(None) };
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let mut response = match &content.web_ui {
            Inner::Nothing if content.console && path.is_empty() && is_read => console::redirect(""),
            Inner::Nothing if path.is_empty() && is_read && is_navigation(headers) => start_page(),
            Inner::Nothing => return Ok(None),
            _ if !is_read => method_not_allowed(),
            Inner::Files(files) => match files.answer(method, &path, headers) {
                Some(response) => response,
                None => return Ok(None),
            },
            Inner::Dashboard(origin) => self.dashboard.answer(origin, method, target, headers).await?,
        };
        secure(response.headers_mut());
        Ok(Some(response))
    }

    /// Why there is no such page, and what there is, for a person; see [`is_navigation`].
    pub fn no_page(&self, status: StatusCode, message: &str) -> Response<Body> {
        let content = self.content.load();
        let has_pages = !matches!(content.web_ui, Inner::Nothing);
        let mut response = no_page::no_page(status, message, has_pages, content.console);
        secure(response.headers_mut());
        response
    }
}

/// The decoded path without its first slash; `None` for what belongs to the API, existing or not: a client must never
/// mistake a page for an answer.
fn page(path: &str) -> Option<String> {
    let path = percent_encoding::percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let first = path.split('/').next().unwrap_or_default();
    (!RESERVED.contains(&first)).then(|| path.into_owned())
}

fn method_not_allowed() -> Response<Body> {
    let mut response = wire::text(StatusCode::METHOD_NOT_ALLOWED, "");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Sets the security headers, replacing the dashboard's own.
fn secure(headers: &mut HeaderMap) {
    for (name, value) in &SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// How long a directory may take: a slow network mount has 64 MiB read within it.
const PATIENCE: Duration = Duration::from_secs(30);

/// First segments that are not pages, now or in later versions.
const RESERVED: [&str; 11] =
    ["api", "auth", "c", "console", "graphql", "health", "livez", "metrics", "ready", "readyz", "version"];

/// The strictest policy under which Sensu's UI works. It has inline styles, and shows an image for a label or annotation
/// that is the URL of one.
const SECURITY: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' https:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
