use proptest::prelude::*;

use super::*;

fn load_text(text: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader { namespace: "default", found: Vec::new(), seen: HashMap::new() };
    reader.file("f.yaml", text).map_err(|error| error.to_string())?;
    Ok(reader.found.iter().map(ToString::to_string).collect())
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
            format!("{A}---\n{B}---\n\n# again\n{A}"),
            "f.yaml, document 3, line 15: Cluster \"a\" is already in f.yaml, document 1",
        ),
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
fn missing_files_and_directories_are_said() {
    let error = load(&["/nowhere/x.yaml".into()], "default").unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/x.yaml: No such file"), "{error}");
    let error = load(&["/".into()], "default").unwrap_err().to_string();
    assert!(error.starts_with("cannot read /: Is a directory"), "{error}");
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_read(text in "(---|\\.\\.\\.|[a-z:{}\\[\\]\"'#%&*! \\t\\r\\n-]|type: Asset\n|spec: \\{\\}\n){0,30}|.*") {
        let _ = load_text(&text);
        let rejoined: String = chunks(&text).iter().map(|chunk| chunk.text).collect();
        prop_assert!(text.starts_with(&rejoined), "nothing is lost between documents");
        prop_assert!(is_preamble(&text[rejoined.len()..]));
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
