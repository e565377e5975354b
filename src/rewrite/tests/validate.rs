use crate::rewrite::{ScanError, validate_list};

fn item(value: &str) -> Result<(), ScanError> {
    validate_list(format!("[{{\"a\":{value}}}]").as_bytes())
}

#[test]
fn every_form_of_value_is_accepted() {
    for value in [
        "0",
        "-0",
        "12",
        "1.0",
        "-1.5e+10",
        "0E-7",
        "1e21",
        "true",
        "false",
        "null",
        "\"\"",
        "\"ä😀\"",
        "[]",
        "{}",
        r#""\"\\\/\b\f\n\r\t\u00e4\ud800""#,
        "[1 , [ ] ,{ \"a\" : { } } ]",
        " 1 ",
        "123456789012345678901234567890",
    ] {
        assert_eq!(item(value), Ok(()), "{value}");
    }
    for body in ["[]", " [ ] ", "null", "\nnull ", "[{}]", "[ {} , {} ]\n"] {
        assert_eq!(validate_list(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn every_fault_of_grammar_is_found() {
    for value in [
        "",
        "01",
        "+1",
        "-",
        "-a",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "tru",
        "True",
        "nul",
        "NaN",
        "\"a\nb\"",
        "\"\0\"",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u123""#,
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "[}",
        "{]",
        "[1}",
        "1]",
        "\"a",
        "'a'",
        "1 1",
        "/**/1",
        "\u{feff}1",
        "{\"a\":1:2}",
        "1,2",
        "1,\"a\"",
    ] {
        assert!(item(value).is_err(), "{value}");
    }
    for (body, error) in [
        ("", ScanError::Incomplete),
        ("[", ScanError::Incomplete),
        ("[{}", ScanError::Incomplete),
        ("[{},]", ScanError::Separator),
        ("[{}{}]", ScanError::Separator),
        ("[1]", ScanError::NotAnObject),
        ("{}", ScanError::NotAnArray),
        ("[] x", ScanError::Trailing),
        ("<html>", ScanError::Unexpected),
        ("nulx", ScanError::Unexpected),
    ] {
        assert_eq!(validate_list(body.as_bytes()), Err(error), "{body}");
    }
    assert_eq!(validate_list(b"[{\"a\":\"\xff\"}]"), Err(ScanError::Encoding));
}

#[test]
fn strings_end_where_they_end_at_any_offset() {
    for pad in 0..130 {
        let text = "x".repeat(pad);
        assert_eq!(item(&format!("\"{text}\"")), Ok(()));
        assert_eq!(item(&format!("\"{text}\\\"\\\\\"")), Ok(()));
        assert!(item(&format!("\"{text}\u{1}\"")).is_err());
        assert!(validate_list(format!("[{{\"a\":\"{text}").as_bytes()).is_err());
    }
}

#[test]
fn depth_has_the_same_bound_as_the_stream() {
    let nested = |depth: usize| item(&("[".repeat(depth) + &"]".repeat(depth)));
    assert_eq!(nested(510), Ok(()));
    assert_eq!(nested(511), Err(ScanError::TooDeep));
}
