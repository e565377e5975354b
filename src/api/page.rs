use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::ApiError;

/// `limit` and `continue` of a list. The token is Sensu's: the last name and a NUL, in unpadded base64url.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// `None` is everything.
    limit: Option<usize>,
    /// The page begins after this name.
    after: Option<String>,
}

// === impl Page ===

impl Page {
    /// Of several the first counts, as in Sensu; other than there, nonsense is refused.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let mut page = Self::default();
        let (mut limit_seen, mut continue_seen) = (false, false);
        for pair in query.unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| ApiError::Page(name_of(key)))?;
            if key == "limit" && !std::mem::replace(&mut limit_seen, true) {
                let limit: usize = value.parse().map_err(|_| ApiError::Page("limit"))?;
                page.limit = Some(limit).filter(|limit| *limit > 0);
            } else if key == "continue" && !std::mem::replace(&mut continue_seen, true) && !value.is_empty() {
                page.after = Some(name_in(&value).ok_or(ApiError::Page("continue"))?);
            }
        }
        Ok(page)
    }

    /// This page of a sorted list, and the token for the next one.
    pub(super) fn cut<T>(&self, mut items: Vec<(String, T)>) -> (Vec<(String, T)>, Option<HeaderValue>) {
        if let Some(after) = &self.after {
            items.retain(|(name, _)| name > after);
        }
        let Some(limit) = self.limit.filter(|limit| *limit < items.len()) else { return (items, None) };
        items.truncate(limit);
        let next = items.last().map(|(name, _)| URL_SAFE_NO_PAD.encode(format!("{name}\0")));
        (items, next.and_then(|token| HeaderValue::try_from(token).ok()))
    }
}

fn name_of(key: &str) -> &'static str {
    if key == "limit" { "limit" } else { "continue" }
}

fn name_in(token: &str) -> Option<String> {
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    name.strip_suffix('\0').map(str::to_owned)
}
