use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};

use super::{
    answer::Answer,
    base::Base,
    http::{USER_AGENT, connect, unreachable},
};
use crate::{
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
        for _ in 0..MAX_REDIRECTS {
            let answer = self.get(&url).await?;
            match (answer.status.as_u16(), answer.headers.get(header::LOCATION)) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = next(&url, location)?,
                (200, _) => return text(&answer),
                _ => return Err(format!("the server answered {}", answer.status)),
            }
        }
        Err("it redirects without end".to_owned())
    }

    async fn get(&self, url: &Uri) -> Result<Answer, String> {
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(NO_URL.to_owned());
        };
        let base: Base = format!("{scheme}://{authority}").parse().map_err(|_| NO_URL.to_owned())?;
        let client =
            connect(&base, &TlsFiles::default(), self.timeout).await.map_err(|failure| failure.line)?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, base.host())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(Bytes::new())
            .map_err(|_| NO_URL.to_owned())?;
        let sent = client.send(request).await;
        let (head, body) = sent.map_err(|error| unreachable(&base, &error, self.timeout, ""))?.into_parts();
        let most = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
        let body = read_limited(body, most).await.map_err(|error| match error {
            ReadError::TooLarge { .. } => "it is larger than 256 MiB: split it".to_owned(),
            ReadError::Broken(_) => "the answer broke off: try again".to_owned(),
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
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
    let media = answer.header(&header::CONTENT_TYPE).unwrap_or_default();
    if media.to_ascii_lowercase().starts_with("text/html") {
        return Err("it is a web page: give the address of the file itself (\"raw\")".to_owned());
    }
    String::from_utf8(answer.body.to_vec()).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// Largest file, in bytes.
pub(super) const MAX_FILE: u64 = 256 << 20;
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
