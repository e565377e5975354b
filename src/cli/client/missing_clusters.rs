use std::{collections::BTreeMap, fmt};

use super::answer::Answer;
use crate::{
    cli::text::terminal_safe,
    wire::header::{FEDGATE_CLUSTERS, FEDGATE_COMPLETE},
};

/// The clusters that did not contribute to a list, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MissingClusters {
    clusters: BTreeMap<String, String>,
    /// Whether the gateway has left out the names of some, or of all.
    has_unnamed: bool,
}

// === impl MissingClusters ===

impl MissingClusters {
    /// Adds the clusters that are missing from this answer.
    pub(super) fn add(&mut self, answer: &Answer) {
        if answer.header(&FEDGATE_COMPLETE) != Some("false") {
            return;
        }
        let found = failures(answer.header(&FEDGATE_CLUSTERS).unwrap_or_default());
        self.has_unnamed |= found.is_empty();
        for (cluster, error) in found {
            if cluster == "*" {
                self.has_unnamed = true;
            } else {
                self.clusters
                    .insert(terminal_safe(&cluster).into_owned(), terminal_safe(&error).into_owned());
            }
        }
    }

    /// Whether anything is missing.
    pub(super) fn is_any(&self) -> bool {
        self.has_unnamed || !self.clusters.is_empty()
    }
}

/// `alpha (timeout), beta (unreachable)`
impl fmt::Display for MissingClusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.clusters.iter().map(|(cluster, error)| format!("{cluster} ({error})"));
        let unnamed = self
            .has_unnamed
            .then(|| if self.clusters.is_empty() { "some clusters".to_owned() } else { "others".to_owned() });
        f.write_str(&named.chain(unnamed).collect::<Vec<_>>().join(", "))
    }
}

/// The members of a `Fedgate-Clusters` header that have an error, and `"*"` for those that it leaves out (RFC 9651 list
/// of strings). What cannot be parsed is ignored.
fn failures(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((name, after)) = string(rest.trim_start_matches([',', ' ', '\t'])) {
        let end = after.find(',').unwrap_or(after.len());
        let parameters = &after[..end];
        rest = &after[end..];
        let parameter = |key: &str| {
            parameters
                .split(';')
                .filter_map(|p| p.trim().split_once('='))
                .find(|(k, _)| *k == key)
                .map(|(_, v)| v)
        };
        if let Some(error) = parameter("error").or(parameter("omitted")) {
            found.push((name, error.to_owned()));
        }
    }
    found
}

/// Splits off a quoted string (RFC 9651, 3.3.3).
fn string(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut content = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((content, &text[at + 2..])),
            '\\' => content.push(chars.next()?.1),
            c => content.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;

    fn missing(complete: &str, clusters: &str) -> String {
        let headers = HeaderMap::from_iter([
            (FEDGATE_COMPLETE, HeaderValue::from_str(complete).unwrap()),
            (FEDGATE_CLUSTERS, HeaderValue::from_str(clusters).unwrap()),
        ]);
        let mut missing = MissingClusters::default();
        missing.add(&Answer { status: StatusCode::OK, headers, body: Bytes::new() });
        assert_eq!(missing.is_any(), !missing.to_string().is_empty());
        missing.to_string()
    }

    #[test]
    fn only_what_failed_is_missing() {
        let header =
            r#""local-cluster";status=200, "alpha";error=timeout, "b,\"c";status=500;error=server-error"#;
        assert_eq!(missing("false", header), r#"alpha (timeout), b,"c (server-error)"#);
        assert_eq!(missing("true", header), "");
        assert_eq!(missing("false", r#""alpha";error=tls, "*";omitted=3"#), "alpha (tls), others");
        assert_eq!(missing("false", "nonsense"), "some clusters");
        assert_eq!(missing("false", ""), "some clusters");
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd_to_read(text in "[\"\\\\,;= a*é]{0,40}") {
            let _ = failures(&text);
        }
    }
}
