use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::{
    files::{File, Files, Variant},
    negotiate::{self, Verdict},
};
use crate::wire::{Accepted, Body, Coding};

// === impl Files ===

impl Files {
    /// The file at a decoded path without its first slash, or the index document for a browser that navigates to a page.
    pub(super) fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        if let Some(file) = self.get(path) {
            return Some(file.answer(method, headers));
        }
        // A part of a page that is missing, as after an update of the UI, must not look like a page.
        if self.is_below_directory(path) || !negotiate::is_navigation(headers) {
            return None;
        }
        let mut response = self.index()?.answer(method, headers);
        // The same path is 404 for other clients.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept, Sec-Fetch-Mode"));
        Some(response)
    }
}

// === impl File ===

impl File {
    fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let (variant, coding) = self.choose(headers);
        let etag = variant.etag.to_str().unwrap_or_default();
        let verdict = negotiate::condition(headers, etag, self.modified);
        let status = match verdict {
            Verdict::Send => StatusCode::OK,
            Verdict::NotModified => StatusCode::NOT_MODIFIED,
            Verdict::Failed => StatusCode::PRECONDITION_FAILED,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        self.describe(response.headers_mut(), variant);
        if verdict == Verdict::Send {
            let out = response.headers_mut();
            out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            // Also where no body follows (HEAD).
            out.insert(header::CONTENT_LENGTH, variant.bytes.len().into());
            if let Some(coding) = coding {
                out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
            }
            if *method == Method::GET {
                *response.body_mut() = Body::full(variant.bytes.clone());
            }
        }
        response
    }

    /// The headers of every answer, with or without the file.
    fn describe(&self, out: &mut HeaderMap, variant: &Variant) {
        let cache = if self.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        out.insert(header::ETAG, variant.etag.clone());
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(self.modified)) {
            out.insert(header::LAST_MODIFIED, date);
        }
        if self.gzip.is_some() || self.brotli.is_some() {
            out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }

    /// The variant that the client accepts and has; if it has none, the one that it weighs most, and of several the
    /// smallest.
    fn choose(&self, headers: &HeaderMap) -> (&Variant, Option<Coding>) {
        let coded = self.coded();
        if coded.is_empty() {
            return (&self.plain, None);
        }
        let accepted = Accepted::of(headers);
        let best = accepted.best(coded.iter().map(|(coding, _)| *coding));
        let best = coded.iter().find(|(coding, _)| Some(*coding) == best);
        let best = best.map_or((&self.plain, None), |(coding, variant)| (*variant, Some(*coding)));
        let others = coded.iter().map(|(coding, variant)| (*variant, Some(*coding)));
        let taken = others.chain([(&self.plain, None)]).filter(|(_, coding)| accepted.takes(*coding));
        let has = |(variant, _): &(&Variant, _)| {
            variant.etag.to_str().is_ok_and(|etag| negotiate::has(headers, etag))
        };
        [best].into_iter().chain(taken).find(has).unwrap_or(best)
    }

    /// The variants in codings, the smallest first.
    fn coded(&self) -> Vec<(Coding, &Variant)> {
        let all = [(Coding::Brotli, &self.brotli), (Coding::Gzip, &self.gzip)];
        all.into_iter().filter_map(|(coding, variant)| Some((coding, variant.as_ref()?))).collect()
    }
}
