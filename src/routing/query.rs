use std::{borrow::Cow, fmt, num::NonZeroU64};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::percent_decode_str;

use super::{RouteError, path::escapes_are_well_formed};
use crate::types::{ClusterName, PageRequest};

/// The gateway's own query parameters, and what is left for the clusters.
#[derive(Debug, Default)]
pub(super) struct ListQuery {
    /// `clusters=…`: `None` when absent.
    pub(super) select: Option<Select>,
    /// `partial=false`.
    pub(super) strict: bool,
    /// `limit` and `continue`.
    pub(super) page: PageRequest,
    /// All other pairs, byte for byte, in order.
    pub(super) rest: String,
}

/// What `clusters=` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Select {
    All,
    Named(Vec<ClusterName>),
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Named(names) => {
                let names: Vec<&str> = names.iter().map(ClusterName::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl ListQuery {
    /// Takes out `clusters`, `partial`, `limit` and `continue`. Of several `limit` or `continue` the first counts, as in Sensu.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, RouteError> {
        let mut parsed = Self::default();
        let (mut limit, mut token) = (None, None);
        for pair in pairs(query) {
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            match &*key_of(pair)? {
                "clusters" => parsed.add_clusters(value)?,
                "partial" => {
                    parsed.strict = match value {
                        "true" => false,
                        "false" => true,
                        _ => return Err(RouteError::Partial),
                    }
                }
                "limit" => {
                    limit.get_or_insert(parse_limit(value)?);
                }
                "continue" => {
                    token.get_or_insert(decoded(value).ok_or(RouteError::Continue)?);
                }
                _ => {
                    if !parsed.rest.is_empty() {
                        parsed.rest.push('&');
                    }
                    parsed.rest.push_str(pair);
                }
            }
        }
        parsed.page = PageRequest {
            limit: limit.flatten(),
            token: token.filter(|token| !token.is_empty()).map(Cow::into_owned),
        };
        Ok(parsed)
    }

    fn add_clusters(&mut self, value: &str) -> Result<(), RouteError> {
        let value = percent_decode_str(value).decode_utf8().map_err(|_| RouteError::Clusters)?;
        for name in value.split(',') {
            let name = name.trim();
            if name == "*" {
                self.select = Some(Select::All);
                continue;
            }
            let name: ClusterName = name.parse().map_err(|_| RouteError::Clusters)?;
            match self.select.get_or_insert_with(|| Select::Named(Vec::new())) {
                Select::All => {}
                Select::Named(names) => names.push(name),
            }
        }
        Ok(())
    }
}

/// The pairs of a query, as Sensu splits it.
pub(super) fn pairs(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
}

/// A pair's decoded key. Sensu decodes keys, so `%6cimit` is `limit` to it, and refuses a query with a `;` or a bad
/// escape as a whole.
pub(super) fn key_of(pair: &str) -> Result<Cow<'_, str>, RouteError> {
    if pair.contains(';') || !escapes_are_well_formed(pair) {
        return Err(RouteError::Query);
    }
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    Ok(match percent_decode_str(key).decode_utf8_lossy() {
        decoded if decoded.contains('+') => Cow::Owned(decoded.replace('+', " ")),
        decoded => decoded,
    })
}

/// A negative limit makes Sensu drop the connection when the list is empty, which would look like an outage.
pub(super) fn refuse_negative_limit(query: Option<&str>) -> Result<(), RouteError> {
    let negative = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        percent_decode_str(key).decode_utf8_lossy() == "limit"
            && percent_decode_str(value).decode_utf8_lossy().trim_start().starts_with('-')
    };
    if pairs(query).any(negative) { Err(RouteError::Limit) } else { Ok(()) }
}

/// Sensu joins what a `continue` token holds to the store key where the page is to begin: `../b` in one would begin it in
/// another namespace.
pub(super) fn refuse_traversing_continue(query: Option<&str>) -> Result<(), RouteError> {
    let traverses = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_decode_str(key).decode_utf8_lossy() != "continue" {
            return false;
        }
        // Go's decoder leaves out line breaks.
        let token: Vec<u8> =
            percent_decode_str(value).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let decoded = TOKEN.decode(token).unwrap_or_default();
        decoded.split(|byte| *byte == b'/').any(|part| part == b"..")
    };
    if pairs(query).any(traverses) { Err(RouteError::Continue) } else { Ok(()) }
}

/// As Go decodes base64.
const TOKEN: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// `limit`: digits and nothing else; 0 is no limit.
fn parse_limit(value: &str) -> Result<Option<NonZeroU64>, RouteError> {
    let digits = decoded(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let limit: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    limit.map(NonZeroU64::new).ok_or(RouteError::Limit)
}

/// The query without `continue`, which only lists take. One that Sensu refuses as a whole stays as it is.
pub(super) fn without_token(query: &str) -> Cow<'_, str> {
    let is_token = |pair: &&str| key_of(pair).is_ok_and(|key| key == "continue");
    if query.split('&').any(|pair| is_token(&pair)) {
        let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
        Cow::Owned(rest.join("&"))
    } else {
        Cow::Borrowed(query)
    }
}

fn decoded(value: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(value).decode_utf8().ok()
}
