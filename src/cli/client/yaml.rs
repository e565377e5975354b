//! YAML in and out, so that what is written reads back the same, here and in sensuctl.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Options, options::DuplicateKeyPolicy};

use super::tree::Tree;

/// A document that is not YAML, or exceeds the parser's limits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    /// Line in the text given, from 1, when the parser knows it.
    pub(super) line: Option<u64>,
    /// What is wrong.
    pub(super) what: String,
}

/// Reads one document. No document, a comment or `null` is [`Value::Null`].
///
/// As Sensu's own client does, `yes`, `no`, `on` and `off` count as truth values. Integers from −2⁶³ to 2⁶⁴−1 and
/// floating-point numbers of double precision survive.
pub(super) fn read(text: &str) -> Result<Value, YamlError> {
    read_as(text, DuplicateKeyPolicy::Error)
}

/// The same, but of two equal keys the last one counts.
pub(super) fn read_tree(text: &str) -> Result<Tree, YamlError> {
    read_as(text, DuplicateKeyPolicy::PassThrough)
}

fn read_as<T: DeserializeOwned>(text: &str, equal_keys: DuplicateKeyPolicy) -> Result<T, YamlError> {
    serde_saphyr::from_str_with_options(text, options(equal_keys)).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let tab = line.and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
        if tab.is_some_and(has_tab_indent) {
            return YamlError { line, what: "is indented with a tab: YAML takes only spaces".into() };
        }
        YamlError { line, what: explain(&error.without_snippet().to_string()) }
    })
}

/// Writes one document, without `---`.
pub(super) fn write(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        // Long lines stay as they are: folding them would make a command hard to edit.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| format!("{value}\n"))
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        // A resource may hold at most half a megabyte, but a document may be a list of them.
        budget: serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: 256 << 20,
            max_recorded_anchor_events: 20_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        with_snippet: false,
        // As a number, a telephone or postal code would lose its zero.
        leading_zero_numbers_as_strings: true,
    }
}

fn has_tab_indent(line: &str) -> bool {
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
}

/// The parser's message without the line, which is reported separately, and without advice to programmers.
fn explain(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let message = message.rsplit_once(" at line ").map_or(message, |(before, _)| before);
    if let Some(key) = message.strip_prefix("duplicate mapping key: ") {
        return format!("has the key {} twice", key.split_once(", set ").map_or(key, |(key, _)| key));
    }
    if message.contains("budget breached") || message.contains("replay limit") {
        return "is not valid YAML: it has too many aliases or is nested too deeply".to_owned();
    }
    format!("is not valid YAML: {message}")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_sensuctl_and_numbers_survive() {
        let text = "a: 18446744073709551615\nb: -9223372036854775808\nc: 1e-7\nd: 5.0\ne: yes\nf: 'yes'\n\
                    g: 2024-01-01\nh: 12:30:00\ni: 01234\nj: null\nk: 12345678901234567890123\n1: x\n";
        let expected = json!({
            "a": u64::MAX, "b": i64::MIN, "c": 1e-7, "d": 5.0, "e": true, "f": "yes",
            "g": "2024-01-01", "h": "12:30:00", "i": "01234", "j": null, "k": 12_345_678_901_234_567_890_123.0,
            "1": "x",
        });
        assert_eq!(read(text).unwrap().to_string(), expected.to_string());
        for nothing in ["", "# only a comment\n", "---\n", "null\n"] {
            assert_eq!(read(nothing).unwrap(), Value::Null, "{nothing:?}");
        }
    }

    #[test]
    fn errors_know_their_line() {
        for (text, line, what) in [
            ("a:\n\tb: 1\n", 2, "is indented with a tab: YAML takes only spaces"),
            ("a: 1\nb: 2\na: 3\n", 3, "has the key a twice"),
            ("a: [1\n", 1, "is not valid YAML: unclosed bracket '['"),
            (
                "x:\n  y: .inf\n",
                2,
                "is not valid YAML: non-finite float `.inf` rejected by the configured policy",
            ),
        ] {
            assert_eq!(read(text), Err(YamlError { line: Some(line), what: what.into() }), "{text:?}");
        }
    }

    #[test]
    fn aliases_cannot_expand_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            writeln!(text, "a{n}: &a{n} [{}]", vec![before; 9].join(", ")).unwrap();
        }
        for text in [text, "- ".repeat(100_000)] {
            let error = read(&text).unwrap_err().what;
            assert!(error.starts_with("is not valid YAML: it has too many aliases or is nested"), "{error}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn what_is_written_is_readable_and_escaped() {
        let value =
            json!({"command": "x ".repeat(60), "script": "a\n  b\n", "on": "off", "esc": "\u{1b}[0m\u{9b}"});
        let expected = format!(
            "command: \"{}\"\nscript: |\n  a\n    b\n\"on\": \"off\"\nesc: \"\\e[0m\\x9B\"\n",
            "x ".repeat(60)
        );
        assert_eq!(write(&value), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![".*", "[ \\n\\t:#'\"\\\\{}\\[\\],&*?|>%@`=~!y0-9.eE_+-]{0,12}", "(?s).{0,20}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in any_json()) {
            let wrapped = json!({ "spec": value });
            let text = write(&wrapped);
            let back = read(&text).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}")))?;
            prop_assert_eq!(back.to_string(), wrapped.to_string(), "{}", text);
        }
    }
}
