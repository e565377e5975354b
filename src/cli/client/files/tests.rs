use proptest::prelude::*;

use super::{
    split::{Chunk, chunks, is_preamble, without_marks},
    *,
};

fn read_text(text: &str) -> Reader<'static> {
    let mut reader = Reader::new("default", Purpose::Create);
    reader.file(&Text { name: "f.yaml".into(), text: text.into() });
    reader
}

fn load_text(text: &str) -> Result<Vec<String>, String> {
    let reader = read_text(text);
    match reader.wrong.first() {
        Some(error) => Err(error.to_string()),
        None => Ok(reader.found.iter().map(ToString::to_string).collect()),
    }
}

const A: &str = "type: Cluster\napi_version: federation/v1\nmetadata:\n  name: a\nspec: {}\n";
const B: &str = "type: Cluster\napi_version: federation/v1\nmetadata:\n  name: b\nspec: {}\n";

#[test]
fn documents_are_found_however_they_are_put_together() {
    let json = |name: &str| {
        format!(
            r#"{{"type":"Cluster","api_version":"federation/v1","metadata":{{"name":"{name}"}},"spec":{{}}}}"#
        )
    };
    let (a, b) = (json("a"), json("b"));
    for text in [
        format!("{A}---\n{B}"),
        format!("---\n{A}---\n{B}---\n"),
        format!("# comment\n\n---\n# another\n{A}--- # b\n{B}...\n"),
        format!("%YAML 1.2\n---\n{A}...\n---\n{B}"),
        format!("\u{feff}{A}\r\n---\r\n{B}"),
        format!("{a}{b}"),
        format!("{a}\n{b}\n"),
        format!("[{a},\n{b}]"),
        format!("[{a}]\n[{b}]"),
        format!("{a}\n---\n{b}"),
        format!("---\n{a}\n...\n---\n# b\n{b}"),
        format!("----------\n{A}----------\n{B}-----\n"),
        format!("---x\n{A}---# y\n{B}"),
        format!("{A}---\n\u{feff}{B}"),
        format!("\u{feff}---\n{A}\u{feff}---\n{B}"),
        format!("\u{feff}{a}\n\u{feff}{b}"),
        format!("\u{feff}{a}\u{feff}{b}"),
        format!("---\n\u{feff}{a}\n----\n\u{feff}{b}"),
        format!("---\n{a}\n{b}\n---\n"),
        format!("# comment\n---\n{a}\n---\n{B}"),
        format!("{A}---\n{B}---\n{A}---\n{a}"),
        format!("{{type: Cluster, api_version: federation/v1, metadata: {{name: a}}, spec: {{}}}}\n---\n{B}"),
        format!("- {a}\n- {b}\n"),
    ] {
        let expected = [r#"f.yaml, document 1 (Cluster "a")"#, r#"f.yaml, document 2 (Cluster "b")"#];
        assert_eq!(load_text(&text).unwrap_or_else(|e| panic!("{text}\n{e}")), expected, "{text}");
    }
}

#[test]
fn errors_name_file_document_and_line() {
    for (text, error) in [
        (String::new(), "f.yaml is empty: it holds no resource"),
        ("# only\n---\n".into(), "f.yaml is empty: it holds no resource"),
        ("[]".into(), "f.yaml is empty: it holds no resource"),
        (
            format!("{A}{B}"),
            "f.yaml, document 1, line 1: has the key type twice: is there a line --- missing between two resources?",
        ),
        (
            r#"{"type":"Asset","type":"Asset","metadata":{"name":"a"},"spec":{}}"#.into(),
            "f.yaml, document 1, line 1: has the key type twice: is there a line --- missing between two resources?",
        ),
        (format!("{A}----\n---\n{A}---\nmetadata: {{}}\n"), "f.yaml, document 3, line 14: has no type"),
        (
            format!("{A}---\nmetadata:\n\tname: b\n"),
            "f.yaml, document 2, line 8: is indented with a tab: YAML takes only spaces",
        ),
        (format!("{A}---\nspec: {{}}\n"), "f.yaml, document 2, line 7: has no type"),
        (
            format!("{A}---\njust text\n"),
            "f.yaml, document 2, line 7: is not a resource: {type, api_version, metadata, spec} is expected",
        ),
        (
            "[{\"type\":\"Asset\",\"metadata\":{\"name\":\"x\"},\"spec\":{}},\n\n {\"spec\":{}}]".into(),
            "f.yaml, document 2, line 3: has no type",
        ),
        (
            format!(
                "---\n{0}\n\n{0} [{0},\n{0}]\n\n {{\n\"spec\":{{}}}}",
                r#"{"type":"Asset","metadata":{"name":"x"},"spec":{}}"#
            ),
            "f.yaml, document 5, line 7: has no type",
        ),
        ("{\"type\":\n  oops}".into(), "f.yaml, document 1, line 2: is not valid JSON: expected value"),
        (
            "{\"type\": \"Asset\"".into(),
            "f.yaml, document 1, line 1: is not valid JSON: EOF while parsing an object",
        ),
    ] {
        assert_eq!(load_text(&text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn markers_inside_of_text_do_not_split() {
    let text = "type: HookConfig\nmetadata: {name: h}\nspec:\n  command: |\n    ---\n    x\n  other: '---'\n";
    assert_eq!(load_text(text).unwrap().len(), 1);
}

#[test]
fn what_is_met_again_is_there_once_and_last_as_it_was_last() {
    let json = r#"{"spec":{"x":1},"type":"Asset","metadata":{"name":"a","namespace":"default"},"api_version":"core/v2"}"#;
    let yaml = "type: asset\nmetadata: {name: a}\nspec: {x: 1}\n";
    let reader = read_text(&format!("{yaml}---\n{json}\n---\n{B}"));
    assert_eq!((reader.found.len(), reader.notes.len()), (2, 0), "equal in another format");
    let reader = read_text(&format!("{yaml}---\n{B}---\n{json}\n---\n{}", yaml.replace("x: 1", "x: 2")));
    let found: Vec<String> = reader.found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [r#"f.yaml, document 4 (Asset "a" in default)"#, r#"f.yaml, document 2 (Cluster "b")"#]
    );
    assert_eq!(reader.found[0].document.spec()["x"], 2);
    let note = "f.yaml, document 4: Asset \"a\" in default differs from that in f.yaml, document 1: the last one counts";
    assert_eq!(reader.notes, [note]);
}

#[test]
fn keys_that_are_there_twice_are_named_in_every_format() {
    let yaml = "type: Asset\nmetadata: {name: a, labels: {x: y, x: z}}\nspec: {a: [{b: 1, b: 2}], a: 3}\n";
    let json = r#"{"type":"Asset","metadata":{"name":"a","labels":{"x":"y","x":"z"}},"spec":{"a":[{"b":1,"b":2}],"a":3}}"#;
    for (text, index) in [
        (yaml.to_owned(), 1),
        (json.to_owned(), 1),
        (format!("[{B:?}, 1]").replace(&format!("{B:?}, 1"), json), 1),
        (format!("- {json}"), 1),
    ] {
        let reader = read_text(&text);
        let keys = ["metadata.labels.x", "spec.a[0].b", "spec.a"];
        let notes =
            keys.map(|key| format!("f.yaml, document {index}: has the key {key} twice: the last one counts"));
        assert_eq!(reader.notes, notes, "{text}");
        assert_eq!(reader.found[0].document.to_value()["metadata"]["labels"]["x"], "z");
        assert_eq!(reader.found[0].document.spec()["a"], 3);
    }
}

#[test]
fn everything_that_is_wrong_is_found() {
    let reader = read_text(
        "type: Asset\nspec: {}\n---\ntype: Secret\napi_version: secrets/v1\nmetadata: {name: s}\nspec: {}\n---\n\
         type: CheckConfig\nmetadata: {name: a b}\nspec: {}\n---\ntype: Handler\nmetadata: {name: h, namespace: 'a@'}\nspec: {}\n\
         ---\ntype: Hook\nmetadata: {name: h, namespace: a/b}\nspec: {timeout: 1.5}\n---\ntype: [\n",
    );
    let wrong: Vec<String> = reader.wrong.iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        [
            "f.yaml, document 1, line 1: has no metadata.name",
            "f.yaml, document 2, line 4: unknown type \"Secret\" of \"secrets/v1\": only Sensu's commercial edition has it",
            "f.yaml, document 3, line 9: has the name \"a b\", but Sensu takes only A-Z a-z 0-9 _ . - :",
            "f.yaml, document 4, line 13: is refused: namespace \"a@\" is not valid: write <namespace> or <namespace>@<cluster>",
            "f.yaml, document 5, line 17: has a spec.timeout that is not whole: 1.5",
            "f.yaml, document 6, line 21: is not valid YAML: unclosed bracket '['",
        ]
    );
    assert_eq!(reader.wrong.iter().filter(|error| error.is_unknown()).count(), 1);
}

/// Whether a text may be left out: comments, directives and markers.
fn is_between(text: &str) -> bool {
    text.lines().all(|line| line.starts_with("---") || is_preamble(line))
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_read(text in "(---|-----|\u{feff}|\\.\\.\\.|[a-z:{}\\[\\]\"'#%&*! \\t\\r\\n-]|type: Asset\n|spec: \\{\\}\n){0,30}|.*") {
        let _ = load_text(&text);
        let mut rest = &text[..];
        for Chunk { text: part, .. } in chunks(&text) {
            let at = part.as_ptr() as usize - rest.as_ptr() as usize;
            prop_assert!(is_between(&rest[..at]), "nothing is lost between documents");
            rest = &rest[at + part.len()..];
        }
        prop_assert!(is_between(rest));
        let is_marked = without_marks(&text).contains("\n\u{feff}");
        prop_assert!(!is_marked);
        for Chunk { text: part, offset } in chunks(&text) {
            let before = part.as_ptr() as usize - text.as_ptr() as usize;
            prop_assert_eq!(text[..before].matches('\n').count(), offset);
        }
    }

    #[test]
    fn documents_keep_their_order_and_number(count in 1_usize..20, json in any::<bool>()) {
        let documents: Vec<String> = (0..count)
            .map(|n| if json {
                format!(r#"{{"type":"Asset","metadata":{{"name":"n{n}"}},"spec":{{}}}}"#)
            } else {
                format!("type: Asset\nmetadata:\n  name: n{n}\nspec: {{}}\n")
            })
            .collect();
        let text = documents.join(if json { "\n" } else { "---\n" });
        let expected: Vec<String> =
            (0..count).map(|n| format!("f.yaml, document {} (Asset \"n{n}\" in default)", n + 1)).collect();
        prop_assert_eq!(load_text(&text).unwrap(), expected);
    }
}
