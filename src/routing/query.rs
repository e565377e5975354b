use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::RouteError;
use crate::types::ClusterName;

/// The gateway's own query parameters, and what is left for the clusters.
#[derive(Debug, Default)]
pub(super) struct ListQuery {
    /// `clusters=…`: `None` when absent.
    pub(super) select: Option<Select>,
    /// `partial=false`.
    pub(super) strict: bool,
    /// All other pairs, byte for byte, in order.
    pub(super) rest: String,
}

/// What `clusters=` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Select {
    All,
    Named(Vec<ClusterName>),
}

impl ListQuery {
    /// Takes out `clusters`, `partial`, `limit` and `continue`. The latter two go because whole lists are answered.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, RouteError> {
        let mut parsed = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = split(pair);
            match &*key {
                "clusters" => parsed.add_clusters(value)?,
                "partial" => {
                    parsed.strict = match &*decoded(value) {
                        "true" => false,
                        "false" => true,
                        _ => return Err(RouteError::Partial),
                    }
                }
                "limit" => check_limit(&decoded(value))?,
                "continue" => {}
                _ => {
                    if !parsed.rest.is_empty() {
                        parsed.rest.push('&');
                    }
                    parsed.rest.push_str(pair);
                }
            }
        }
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

/// A negative limit makes Sensu drop the connection when the list is empty, which would look like an outage.
pub(super) fn refuse_negative_limit(query: Option<&str>) -> Result<(), RouteError> {
    let negative = |pair: &str| {
        let (key, value) = split(pair);
        key == "limit" && decoded(value).starts_with('-')
    };
    if query.unwrap_or_default().split('&').any(negative) { Err(RouteError::Limit) } else { Ok(()) }
}

/// Key and value of a pair. The key is decoded as the clusters decode it: `%6cimit` is `limit` to them.
pub(super) fn split(pair: &str) -> (Cow<'_, str>, &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(key), value)
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

fn check_limit(value: &str) -> Result<(), RouteError> {
    value.parse::<u64>().map(drop).map_err(|_| RouteError::Limit)
}
