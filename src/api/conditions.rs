use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::ApiError;
use crate::registry::Entry;

/// `If-Match` and `If-None-Match` (RFC 9110 §13.1).
#[derive(Debug, Default)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug)]
enum Tags {
    /// `*`
    Any,
    /// With their quotes, and `W/` if weak.
    List(Vec<String>),
}

// === impl Conditions ===

impl Conditions {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            if_match: Tags::parse(headers, &header::IF_MATCH)?,
            if_none_match: Tags::parse(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether a write may go on over what is there.
    pub(super) fn check(&self, current: Option<&Entry>) -> Result<(), ApiError> {
        let tag = current.map(etag);
        let tag = tag.as_ref().and_then(|tag| tag.to_str().ok());
        let matched = self.if_match.as_ref().is_none_or(|tags| tags.contain(tag, false));
        let none_matched = self.if_none_match.as_ref().is_none_or(|tags| !tags.contain(tag, true));
        if matched && none_matched { Ok(()) } else { Err(ApiError::Precondition) }
    }
}

// === impl Tags ===

impl Tags {
    fn parse(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, ApiError> {
        let mut found = None;
        for value in headers.get_all(name) {
            let mut rest = value.to_str().map_err(|_| ApiError::Condition)?.trim();
            if rest == "*" {
                return Ok(Some(Self::Any));
            }
            let Self::List(tags) = found.get_or_insert(Self::List(Vec::new())) else { continue };
            // A tag may hold commas, so this cannot be a split.
            while !rest.is_empty() {
                let (tag, after) = tag(rest).ok_or(ApiError::Condition)?;
                tags.push(tag.to_owned());
                rest = after.trim_start().strip_prefix(',').unwrap_or(after).trim_start();
            }
        }
        Ok(found)
    }

    fn contain(&self, current: Option<&str>, weakly: bool) -> bool {
        let Some(current) = current else { return false };
        let strip = |tag: &str| tag.strip_prefix("W/").filter(|_| weakly).unwrap_or(tag).to_owned();
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| strip(tag) == current),
        }
    }
}

/// Splits off the first entity tag.
fn tag(text: &str) -> Option<(&str, &str)> {
    let opening = text.find('"').filter(|at| matches!(&text[..*at], "" | "W/"))?;
    let closing = text[opening + 1..].find('"')? + opening + 1;
    Some(text.split_at(closing + 1))
}

/// The strong validator of a stored resource.
pub(super) fn etag(entry: &Entry) -> HeaderValue {
    etag_of(entry.version, &entry.value)
}

/// Version and content: a store that was recreated counts its versions from one again.
pub(super) fn etag_of(version: u64, value: &[u8]) -> HeaderValue {
    let hash = digest(&SHA256, value);
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_ref()[..8]);
    let tag = format!("\"{version:x}-{:016x}\"", u64::from_be_bytes(short));
    HeaderValue::try_from(tag).expect("hex digits and quotes are legal in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: HeaderName, value: &str) -> Result<Conditions, ApiError> {
        Conditions::parse(&HeaderMap::from_iter([(name, value.parse().unwrap())]))
    }

    #[test]
    fn tags_match_as_the_rfc_has_it() {
        let entry = Entry { key: "clusters/a".into(), value: "{}".into(), version: 7 };
        let tag = etag(&entry);
        let tag = tag.to_str().unwrap();
        let cases = [
            (header::IF_MATCH, tag.to_owned(), true, false),
            (header::IF_MATCH, "*".to_owned(), true, false),
            (header::IF_MATCH, format!("\"x,y\", {tag}"), true, false),
            (header::IF_MATCH, format!("W/{tag}"), false, false),
            (header::IF_MATCH, "\"x\"".to_owned(), false, false),
            (header::IF_NONE_MATCH, "*".to_owned(), false, true),
            (header::IF_NONE_MATCH, format!("W/{tag}"), false, true),
            (header::IF_NONE_MATCH, "\"x\",\"y\"".to_owned(), true, true),
        ];
        for (name, value, over_entry, over_nothing) in cases {
            let conditions = conditions(name.clone(), &value).unwrap();
            assert_eq!(conditions.check(Some(&entry)).is_ok(), over_entry, "{name}: {value}");
            assert_eq!(conditions.check(None).is_ok(), over_nothing, "{name}: {value} over nothing");
        }
        for bad in ["x", "\"x", "X/\"x\"", "\"a\" \"b", ","] {
            assert!(conditions(header::IF_MATCH, bad).is_err(), "{bad}");
        }
    }
}
