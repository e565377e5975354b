use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::ApiError;
use crate::{registry::Secret, types::Kind, wire::token};

/// `limit` and `continue` of a list.
///
/// The token is sealed for the list and holds the last name seen: what is created or deleted between two pages makes
/// no other name come twice or not at all.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// `None` is everything.
    limit: Option<usize>,
    /// As the client sent it.
    token: Option<String>,
}

// === impl Page ===

impl Page {
    /// Of several the first counts, as in Sensu; unlike there, malformed values are refused.
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
                page.token = Some(value.into_owned());
            }
        }
        Ok(page)
    }

    /// Whether neither was asked for.
    pub(super) fn is_everything(&self) -> bool {
        self.limit.is_none() && self.token.is_none()
    }

    /// Whether a list of this many items takes a secret: to read the token, or to make one.
    pub(super) fn needs_secret(&self, items: usize) -> bool {
        self.token.is_some() || self.limit.is_some_and(|limit| limit < items)
    }

    /// Leaves this page of a sorted list, and makes the token for the next one.
    pub(super) fn cut<T>(
        &self,
        kind: Kind,
        secret: &Secret,
        items: &mut Vec<(String, T)>,
    ) -> Result<Option<HeaderValue>, ApiError> {
        let context = context(kind);
        if let Some(token) = &self.token {
            let after = token::open(secret.as_bytes(), context.as_bytes(), token);
            let after = after.ok_or(ApiError::Page("continue"))?;
            items.retain(|(name, _)| *name.as_bytes() > *after);
        }
        let Some(limit) = self.limit.filter(|limit| *limit < items.len()) else { return Ok(None) };
        items.truncate(limit);
        let seal = |name: &str| token::seal(secret.as_bytes(), context.as_bytes(), name.as_bytes());
        Ok(items.last().and_then(|(name, _)| HeaderValue::try_from(seal(name)).ok()))
    }
}

fn name_of(key: &str) -> &'static str {
    if key == "limit" { "limit" } else { "continue" }
}

/// The list that a token is valid for.
fn context(kind: Kind) -> String {
    format!("federation/v1/{}", kind.collection())
}
