use http::{HeaderValue, Response, StatusCode, header};

use crate::wire::{self, Body};

/// What a person reads who opened a link that leads nowhere.
pub(super) fn no_page(status: StatusCode, message: &str, has_pages: bool, console: bool) -> Response<Body> {
    let web_ui = if has_pages { "<a href=\"/\">/</a>: Sensu's web UI" } else { NO_WEB_UI };
    let console =
        if console { "<li><a href=\"/console/\">/console/</a>: all clusters on one page</li>\n" } else { "" };
    let message = escape(message);
    page(
        status,
        &format!("{status} - fedgate"),
        &format!("<h1>{status}</h1>\n<p>{message}</p>"),
        console,
        web_ui,
    )
}

/// What a person reads at `/` of a gateway without a web UI.
pub(super) fn start_page() -> Response<Body> {
    page(StatusCode::OK, "fedgate", "<h1>fedgate</h1>", "", NO_WEB_UI)
}

fn page(status: StatusCode, title: &str, heading: &str, console: &str, web_ui: &str) -> Response<Body> {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title></head>\n\
         <body>{heading}\n<p>This is fedgate, a gateway to several Sensu clusters. It serves:</p>\n\
         <ul>\n{console}<li>{web_ui}</li>\n\
         <li><code>/auth</code>, <code>/api/core/v2/…</code> and <code>/graphql</code>: Sensu's API, for all clusters; \
         the place for <code>sensuctl --api-url</code> and <code>fedgate list event --url</code></li>\n\
         <li><code>/c/{{cluster}}/…</code>: the API of one cluster</li>\n\
         <li><code>/api/federation/v1/…</code>: clusters and replicators, for <code>fedgate create</code> and \
         <code>fedgate status</code></li>\n\
         <li><a href=\"/readyz\">/readyz</a>: whether the gateway is ready</li>\n</ul></body></html>\n"
    );
    let mut response = wire::text(status, page);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The same path has another answer for other clients.
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Sec-Fetch-Mode"));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const NO_WEB_UI: &str =
    "no web UI: an administrator can set <code>web-ui.directory</code> or <code>web-ui.upstream</code>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_holds_is_text() {
        let page = no_page(StatusCode::NOT_FOUND, "cluster \"<script>&\" is not registered", false, true);
        let text = String::from_utf8_lossy(page.body().as_full().unwrap()).into_owned();
        assert!(text.contains("<p>cluster &quot;&lt;script&gt;&amp;&quot; is not registered</p>"), "{text}");
        assert!(text.contains("href=\"/console/\""), "{text}");
        assert!(text.contains("<h1>404 Not Found</h1>") && text.contains("/c/{cluster}/…"), "{text}");
    }
}
