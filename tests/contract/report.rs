//! What a replay found, for people.

use std::{collections::BTreeSet, fmt::Write};

use crate::{compare::Difference, fixture::Exchange};

/// The outcome of one group.
pub(crate) struct Report {
    group: String,
    total: usize,
    failures: Vec<Failure>,
    skipped: Vec<(String, &'static str)>,
}

struct Failure {
    name: String,
    request: String,
    differences: Vec<Difference>,
}

// === impl Report ===

impl Report {
    pub(crate) fn new(group: &str) -> Self {
        Self { group: group.to_owned(), total: 0, failures: Vec::new(), skipped: Vec::new() }
    }

    pub(crate) fn record(&mut self, exchange: &Exchange, differences: Vec<Difference>) {
        self.total += 1;
        if differences.is_empty() {
            return;
        }
        let cluster = exchange.cluster.as_ref().map(|name| format!(" at {name}")).unwrap_or_default();
        let request = exchange.request.as_ref();
        let request =
            request.map_or("(a step on etcd)".to_owned(), |r| format!("{} {}{cluster}", r.method, r.path));
        self.failures.push(Failure { name: exchange.name.clone(), request, differences });
    }

    pub(crate) fn skip(&mut self, name: &str, reason: &'static str) {
        self.skipped.push((name.to_owned(), reason));
    }

    /// Fails on every difference but those of the exchanges in `known`, and on every exchange in `known` that has none.
    pub(crate) fn check(&self, known: &BTreeSet<&str>) {
        for (name, reason) in &self.skipped {
            println!("skipped {name}: {reason}");
        }
        let unknown: Vec<_> = self.failures.iter().filter(|f| !known.contains(f.name.as_str())).collect();
        let failing: BTreeSet<_> = self.failures.iter().map(|f| f.name.as_str()).collect();
        let mut text = String::new();
        for failure in &unknown {
            failure.write(&mut text);
        }
        for name in known.iter().filter(|name| !failing.contains(*name)) {
            let _ =
                writeln!(text, "{name} is as recorded: remove it from the list in tests/contract/known.rs");
        }
        let Self { group, total, .. } = self;
        let summary = format!(
            "{group}: {} of {total} exchanges differ, {} known",
            failing.len(),
            failing.len() - unknown.len()
        );
        assert!(text.is_empty(), "\n{text}\n{summary}");
        println!("{summary}");
    }
}

// === impl Failure ===

impl Failure {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "{}\n  {}", self.name, self.request);
        for difference in self.differences.iter().take(MOST_SHOWN) {
            let Difference { what, expected, actual } = difference;
            let (expected, actual) = around_first_difference(expected, actual);
            let _ = writeln!(text, "  {what}\n    expected: {expected}\n    actual:   {actual}");
        }
        if self.differences.len() > MOST_SHOWN {
            let _ = writeln!(text, "  and {} more", self.differences.len() - MOST_SHOWN);
        }
    }
}

/// Long texts are cut to what surrounds the first place where they differ.
fn around_first_difference(expected: &str, actual: &str) -> (String, String) {
    let same = expected.chars().zip(actual.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(CONTEXT);
    let cut = |text: &str| {
        let shown: String = text.chars().skip(from).take(MOST_CHARS).collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if text.chars().nth(from + MOST_CHARS).is_some() { "…" } else { "" };
        format!("{before}{}{after}", shown.escape_debug()).replace("\\\"", "\"")
    };
    if expected.chars().count().max(actual.chars().count()) <= MOST_CHARS {
        let plain = |text: &str| text.escape_debug().to_string().replace("\\\"", "\"");
        return (plain(expected), plain(actual));
    }
    (cut(expected), cut(actual))
}

const MOST_SHOWN: usize = 8;
const MOST_CHARS: usize = 400;
const CONTEXT: usize = 120;
