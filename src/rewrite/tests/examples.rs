use super::*;

fn ok(task: Task, body: &str, expected: &str) {
    assert_eq!(task.check(body).as_deref(), Ok(expected));
}

#[test]
fn items_are_labelled_and_qualified_and_brackets_stripped() {
    ok(
        MERGE,
        " [ {\"metadata\":{\"name\":\"a\",\"namespace\":\"default\"},\"n\":1e-07} ,\n{}, { } , { \"x\":[1, 2] } ]\n",
        "{\"cluster\":\"alpha\",\"metadata\":{\"name\":\"a\",\"namespace\":\"default@alpha\"},\"n\":1e-07},\
         {\"cluster\":\"alpha\"},{\"cluster\":\"alpha\" },{\"cluster\":\"alpha\", \"x\":[1, 2] }",
    );
}

#[test]
fn kept_brackets_keep_all_white_space() {
    ok(KEEP, " [ {} ,\n\t{} ]\r\n", " [ {\"cluster\":\"alpha\"} ,\n\t{\"cluster\":\"alpha\"} ]\r\n");
    ok(KEEP, " [ ] ", " [ ] ");
}

#[test]
fn empty_and_null_lists_have_no_items() {
    for body in ["[]", " [ \n] ", "null", " null\n"] {
        ok(MERGE, body, "");
    }
    assert_eq!(MERGE.check("nul"), Err(ScanError::Incomplete));
    assert_eq!(MERGE.check("nulL"), Err(ScanError::Unexpected));
    assert_eq!(MERGE.check("nulll"), Err(ScanError::Trailing));
}

#[test]
fn a_single_object_is_qualified_but_not_labelled() {
    ok(KEEP, "{\"metadata\":{\"namespace\":\"ops\"}}\n", "{\"metadata\":{\"namespace\":\"ops@alpha\"}}\n");
}

#[test]
fn other_values_pass_through_when_brackets_are_kept() {
    for body in
        ["null", "true ", " -1.5e300", "\"[\\\"{\"", "\"\"\n", "[1,\"a]\",null,[{\"metadata\":{}}], 2 ]", "7"]
    {
        ok(KEEP, body, body);
    }
}

#[test]
fn only_the_exact_places_of_resources_are_qualified() {
    let with = |text: &str| text.replace('%', "@alpha");
    let item = r#"{"namespace":"no","metadata":{"namespace":"a%","labels":{"namespace":"no","metadata":{"namespace":"no"}},
        "annotations":{"x":"\"metadata\":{\"namespace\":\"no\"}"},"metadata":{"namespace":"no"}},
        "entity":{"namespace":"no","metadata":{"namespace":"b%"},"check":{"metadata":{"namespace":"no"}},
            "spec":{"metadata":{"namespace":"no"}}},
        "check":{"metadata" : {"namespace" : "c%" , "namespace":7},"hooks":[{"metadata":{"namespace":"no"}}]},
        "spec":{"metadata":{"namespace":"d%"},"entity":{"metadata":{"namespace":"e%"}},
            "check":{"metadata":{"name":"no","namespace":"f%"}},"spec":{"metadata":{"namespace":"no"}}},
        "Metadata":{"namespace":"no"},"x\"metadata":{"namespace":"no"},"other":{"metadata":{"namespace":"no"}},
        "metadata":{"namespace":null,"x\"namespace":"no","namespace":"\u0061\"%","namespace":"%"}}"#;
    let plain = item.replace('%', "");
    ok(KEEP, &plain, &with(item));
    let padded = format!("[{}{plain}]", " ".repeat(77));
    let labelled = with(item).replacen('{', "{\"cluster\":\"alpha\",", 1);
    ok(MERGE, &padded, &labelled);
}

#[test]
fn names_of_namespaces_are_qualified() {
    let task = Task { shape: Shape::Namespace, ..MERGE };
    ok(
        task,
        r#"[{"name":"ops","metadata":{"namespace":"x"}},{"type":"Namespace","metadata":{"name":"b"},"spec":{"name":"b","metadata":{"name":"x"},"labels":{"name":"x"}}}]"#,
        r#"{"cluster":"alpha","name":"ops@alpha","metadata":{"namespace":"x"}},{"cluster":"alpha","type":"Namespace","metadata":{"name":"b@alpha"},"spec":{"name":"b@alpha","metadata":{"name":"x"},"labels":{"name":"x"}}}"#,
    );
}

#[test]
fn only_lists_of_objects_can_be_merged() {
    for body in ["{}", "1", "\"a\"", "true", "-"] {
        assert_eq!(MERGE.check(body), Err(ScanError::NotAnArray), "{body}");
    }
    for body in ["[1]", "[{},null]", "[[]]", "[\"a\"]"] {
        assert_eq!(MERGE.check(body), Err(ScanError::NotAnObject), "{body}");
    }
    for body in ["<html>", "oops", r#"[{"a":\"b"}]"#, r"[{}\]", "]", "}", ",", "[<", "[{},x"] {
        assert_eq!(MERGE.check(body), Err(ScanError::Unexpected), "{body}");
    }
}

#[test]
fn broken_structure_is_refused() {
    for task in [MERGE, KEEP] {
        for body in ["[{},]", "[,{}]", "[{},,{}]", "[{}{}]", "[{} {}]", "[{}\"a\"]", "[{}:{}]"] {
            assert_eq!(task.check(body), Err(ScanError::Separator), "{body}");
        }
        for body in [r#"[{"a":[}]"#, r#"[{"a":{]]"#, "[}", "[{]", "[{}}", r#"[{"a":[}]}]"#] {
            assert_eq!(task.check(body), Err(ScanError::Unbalanced), "{body}");
        }
        for body in
            ["", " ", "[", "[{", "[{}", "[{},", "[{ ", r#"[{"a"#, r#"[{"a\"#, r#"[{"a]}"#, r#"[{"a\"}]"#]
        {
            assert_eq!(task.check(body), Err(ScanError::Incomplete), "{body}");
        }
        for body in ["[] []", "[]]", "[{}],", "[]\0", "[]x"] {
            assert_eq!(task.check(body), Err(ScanError::Trailing), "{body}");
        }
    }
    assert_eq!(KEEP.check("{}{}"), Err(ScanError::Trailing));
    assert_eq!(KEEP.check("\"a"), Err(ScanError::Incomplete));
}

#[test]
fn nesting_is_followed_to_512_levels() {
    let nested = |depth: usize| {
        let item = "{\"a\":[".repeat(depth / 2) + &"]}".repeat(depth / 2);
        format!("[{{\"a\":{item}}}]")
    };
    assert!(KEEP.check(&nested(510)).is_ok());
    assert_eq!(KEEP.check(&nested(512)), Err(ScanError::TooDeep));
    let mut crossed = nested(200).into_bytes();
    let closer = crossed.iter().position(|b| *b == b']').unwrap();
    crossed[closer + 150] ^= 0x20;
    assert_eq!(KEEP.check(std::str::from_utf8(&crossed).unwrap()), Err(ScanError::Unbalanced));
}

#[test]
fn an_error_stays() {
    let mut out = BytesMut::new();
    let mut rewriter = Rewriter::new(Shape::Resource, None, None, Brackets::Keep);
    assert_eq!(rewriter.push(b"[}", &mut out), Err(ScanError::Unbalanced));
    assert_eq!(rewriter.push(b"[]", &mut out), Err(ScanError::Unbalanced));
    assert_eq!(rewriter.finish(&mut out), Err(ScanError::Unbalanced));
}

#[test]
fn separators_come_out_with_the_item_after_them() {
    let mut out = BytesMut::new();
    let name = alpha();
    let mut rewriter = Rewriter::new(Shape::Resource, Some(&name), None, Brackets::Strip);
    rewriter.push(b"[{\"a\":1},", &mut out).unwrap();
    assert_eq!(out, "{\"cluster\":\"alpha\",\"a\":1}");
    rewriter.push(b"{\"b\":2}]", &mut out).unwrap();
    assert_eq!(out, "{\"cluster\":\"alpha\",\"a\":1},{\"cluster\":\"alpha\",\"b\":2}");
    assert_eq!(rewriter.items(), 2);
}

#[test]
fn white_space_before_a_label_is_held_up_to_a_bound() {
    let body = format!("[{{{}\"a\":1}}]", " ".repeat(10_000));
    let expected = format!("{{\"cluster\":\"alpha\",{}\"a\":1}}", " ".repeat(4096));
    ok(MERGE, &body, &expected);
}
