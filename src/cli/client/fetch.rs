use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};

use super::{answer::Answer, base::Base, manners::USER_AGENT, server::Server};
use crate::{
    cli::environment,
    types::TlsFiles,
    wire::{ReadError, read_limited},
};

/// Reads resources from URLs, as anyone: the user's credential is for the gateway only.
pub(super) struct Fetcher {
    timeout: Duration,
}

// === impl Fetcher ===

impl Fetcher {
    /// One that waits so long for each answer.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// The text at a URL. Redirects are followed. The error says why there is none.
    pub(super) async fn fetch(&self, url: &str) -> Result<String, String> {
        let mut url: Uri =
            url.split('#').next().unwrap_or_default().parse().map_err(|_| NO_URL.to_owned())?;
        let mut was_redirected = false;
        for _ in 0..MAX_REDIRECTS {
            let answer = self.get(&url).await?;
            let what = match (answer.status.as_u16(), answer.headers.get(header::LOCATION)) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    url = next(&url, location)?;
                    was_redirected = true;
                    continue;
                }
                (200, _) => match text(&answer) {
                    Ok(text) => return Ok(text),
                    Err(what) => what,
                },
                _ => format!("the server answered {}", answer.status),
            };
            if was_redirected {
                // Often a login, of which nobody has thought. Its query may hold what opens it.
                return Err(format!("redirected to {}{}: {what}", base(&url)?, url.path()));
            }
            return Err(what);
        }
        Err("it redirects without end".to_owned())
    }

    async fn get(&self, url: &Uri) -> Result<Answer, String> {
        let base = base(url)?;
        let server = Server::prepare(&base, &TlsFiles::default(), self.timeout, &environment())
            .await
            .map_err(|failure| failure.line)?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, base.host())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(Bytes::new())
            .map_err(|_| NO_URL.to_owned())?;
        let (head, body) = server.send(request).await.map_err(|failure| failure.line)?.into_parts();
        let most = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
        let body = read_limited(body, most).await.map_err(|error| match error {
            ReadError::TooLarge { .. } => "it is larger than 256 MiB: split it".to_owned(),
            ReadError::Broken(_) => "the answer broke off: try again".to_owned(),
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// The server of a URL.
fn base(url: &Uri) -> Result<Base, String> {
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(NO_URL.to_owned());
    };
    format!("{scheme}://{authority}").parse().map_err(|_| NO_URL.to_owned())
}

/// The URL that a redirect points to.
fn next(from: &Uri, location: &HeaderValue) -> Result<Uri, String> {
    let broken = || "it redirects to something that is no URL".to_owned();
    let location = location.to_str().map_err(|_| broken())?;
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) =
        (from.scheme_str().unwrap_or_default(), from.authority().map_or("", |it| it.as_str()));
    let full = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let to: Uri = full.parse().map_err(|_| broken())?;
    if scheme == "https" && to.scheme_str() != Some("https") {
        return Err("it redirects from https to a place without".to_owned());
    }
    Ok(to)
}

fn text(answer: &Answer) -> Result<String, String> {
    let media = answer.header(&header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let is_said_to_be_page = media.starts_with("text/html") || media.starts_with("application/xhtml");
    if is_web_page(&answer.body, is_said_to_be_page) {
        return Err(format!("{WEB_PAGE}: give the address of the file itself (\"raw\")"));
    }
    String::from_utf8(answer.body.to_vec()).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// Whether a text is HTML, by how it begins: some servers call everything a page, others nothing. No resource begins with
/// a tag, but YAML may with the key `<<`.
pub(super) fn is_web_page(text: &[u8], is_said_to_be_page: bool) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    let start = text.get(..text.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    if is_said_to_be_page {
        return start.starts_with(b"<") && !start.starts_with(b"<<");
    }
    TAGS.iter().any(|tag| start.starts_with(tag))
}

/// Largest file, in bytes.
pub(super) const MAX_FILE: u64 = 256 << 20;
/// What is said of one.
pub(super) const WEB_PAGE: &str = "it is a web page, such as a login or a list of files";
/// How one begins.
const TAGS: [&[u8]; 6] = [b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--"];
const NO_URL: &str = "it must be http:// or https:// with a host";
/// As many as Go's clients follow.
const MAX_REDIRECTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_where_a_browser_would_go() {
        let from: Uri = "https://a:1/x/y.yaml?z".parse().unwrap();
        for (location, expected) in [
            ("https://b/c", "https://b/c"),
            ("//b/c", "https://b/c"),
            ("/c#part", "https://a:1/c"),
            ("c?d", "https://a:1/x/c?d"),
        ] {
            let location = HeaderValue::from_str(location).unwrap();
            assert_eq!(next(&from, &location).unwrap().to_string(), expected);
        }
        for bad in ["http://b/c", "https://", "ftp://b/c"] {
            assert!(next(&from, &HeaderValue::from_str(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
