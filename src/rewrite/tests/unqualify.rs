use bytes::Bytes;

use crate::{
    rewrite::{Unqualified, UnqualifyError, unqualify},
    types::Shape,
};

fn resource(body: &str) -> Result<Unqualified, UnqualifyError> {
    unqualify(&Bytes::copy_from_slice(body.as_bytes()), Shape::Resource)
}

fn body(text: &str) -> String {
    String::from_utf8(resource(text).unwrap().body.to_vec()).unwrap()
}

#[test]
fn a_plain_body_is_returned_without_a_copy() {
    let plain = Bytes::from_static(br#"{"metadata":{"namespace":"default"}}"#);
    let read = unqualify(&plain, Shape::Resource).unwrap();
    assert_eq!(read.body.as_ptr(), plain.as_ptr());
    assert_eq!((read.cluster, read.namespaces), (None, vec!["default".to_owned()]));
}

#[test]
fn all_places_lose_their_cluster_and_nothing_else() {
    let text = r#" { "type" : "x", "metadata":{"namespace" : "a@alpha" ,"labels":{"namespace":"x@y"}},
        "entity":{"metadata":{"namespace":"b@alpha"}},"check":{"metadata":{"namespace":"c@alpha"}},
        "spec":{"metadata":{"namespace":"d@alpha"},"entity":{"metadata":{"namespace":"e@alpha"}},
        "check":{"metadata":{"namespace":"f@alpha"}}},"n":1.50E+3,"big":123456789012345678901234567890} trailing{"#;
    let read = resource(text).unwrap();
    assert_eq!(read.body, text.replace("@alpha", ""));
    assert_eq!(read.cluster.unwrap().as_str(), "alpha");
    assert_eq!(read.namespaces, ["a", "b", "c", "d", "e", "f"]);
    assert!(!read.mixed);
}

#[test]
fn namespaces_lose_their_cluster_by_name() {
    let text = r#"{"name":"ops@alpha","metadata":{"name":"ops@alpha","namespace":"x@y"},"spec":{"name":"ops@alpha"}}"#;
    let read = unqualify(&Bytes::copy_from_slice(text.as_bytes()), Shape::Namespace).unwrap();
    assert_eq!(read.body, text.replace("@alpha", ""));
    assert_eq!(read.namespaces, ["ops", "ops", "ops"]);
}

#[test]
fn keys_are_read_as_go_reads_them() {
    for text in [
        r#"{"Metadata":{"NAMESPACE":"a@alpha"}}"#,
        "{\"metadata\":{\"name\u{17f}pace\":\"a@alpha\"}}",
        r#"{"metadata":{"name\u017fpace":"a@alpha"}}"#,
        "{\"chec\u{212a}\":{\"metadata\":{\"namespace\":\"a@alpha\"}}}",
        "{\"\u{17f}PEC\":{\"metadata\":{\"namespace\":\"a@alpha\"}}}",
        "{\"ent\u{130}ty\":{\"metadata\":{\"namespace\":\"a@alpha\"}}}",
        r#"{"meta\u0064ata":{"\u006e\u0061\u006d\u0065\u0073\u0070\u0061\u0063\u0065":"a@alpha"}}"#,
    ] {
        let read = resource(text).unwrap();
        assert_eq!(read.namespaces, ["a"], "{text}");
        assert_eq!(read.body, text.replace("@alpha", ""), "{text}");
    }
}

#[test]
fn every_duplicate_is_seen() {
    let read = resource(
        r#"{"metadata":{"namespace":"a","namespace":"b@alpha"},"METADATA":{"Namespace":""},"metadata":{"namespace":3}}"#,
    )
    .unwrap();
    assert_eq!(read.namespaces, ["a", "b", ""]);
    assert!(read.mixed);
}

#[test]
fn escaped_values_are_cut_at_the_sign() {
    assert_eq!(
        body(r#"{"metadata":{"namespace":"d\u0065f\u0040alph\u0061"}}"#),
        r#"{"metadata":{"namespace":"d\u0065f"}}"#
    );
    assert_eq!(
        body(r#"{"metadata":{"namespace":"\\u0040\"@alpha"}}"#),
        r#"{"metadata":{"namespace":"\\u0040\""}}"#
    );
    assert_eq!(resource(r#"{"metadata":{"namespace":"\ud83d\ude00@alpha"}}"#).unwrap().namespaces, ["😀"]);
    assert_eq!(
        resource(r#"{"metadata":{"namespace":"\ud83d\u0041@alpha"}}"#).unwrap().namespaces,
        ["\u{fffd}A"]
    );
}

#[test]
fn the_local_cluster_is_no_cluster() {
    let read = resource(r#"{"metadata":{"namespace":"a@local-cluster"}}"#).unwrap();
    assert_eq!(read.body, r#"{"metadata":{"namespace":"a"}}"#);
    assert_eq!(read.cluster, None);
}

#[test]
fn different_clusters_are_a_mismatch() {
    for other in ["beta", "local-cluster", "Alpha"] {
        let text = format!(
            r#"{{"entity":{{"metadata":{{"namespace":"a@alpha"}}}},"metadata":{{"namespace":"a@{other}"}}}}"#
        );
        assert_eq!(resource(&text), Err(UnqualifyError::Mismatch));
    }
}

#[test]
fn malformed_namespaces_are_refused() {
    for namespace in
        ["@x", "x@", "@", "a@b@c", "a@\\u0040", ".", "..", "..@alpha", "a@b/c", "a\\u0040", "a@b c"]
    {
        let text = format!(r#"{{"metadata":{{"namespace":"{namespace}"}}}}"#);
        assert_eq!(resource(&text), Err(UnqualifyError::Malformed), "{namespace}");
    }
}

#[test]
fn the_label_is_removed_with_one_comma() {
    for (labelled, plain) in [
        (r#"{"cluster":"x"}"#, "{}"),
        (r#"{ "cluster" : {"a":[1,"}"]} }"#, "{  }"),
        (r#"{"cluster":"x", "a":1}"#, r#"{ "a":1}"#),
        (r#"{"a":1, "cluster":"x" }"#, r#"{"a":1 }"#),
        (r#"{"a":1,"cluster":1,"cluster":2}"#, r#"{"a":1}"#),
        (r#"{"a":1 , "cluster":1, "b":2}"#, r#"{"a":1 , "b":2}"#),
        (r#"{"cluster":1,"clu\u0073ter":[],"a":{"cluster":1}}"#, r#"{"a":{"cluster":1}}"#),
        (r#"{"cluster":1,"cluster":2}"#, "{}"),
        (r#"{"a":{"cluster":"x"},"Cluster":1}"#, r#"{"a":{"cluster":"x"},"Cluster":1}"#),
    ] {
        assert_eq!(body(labelled), plain, "{labelled}");
    }
}

#[test]
fn what_is_no_json_object_passes_unchanged() {
    for text in [
        "",
        "x",
        "[]",
        "null",
        r#"[{"metadata":{"namespace":"a@b"}}]"#,
        r#"{"metadata":{"namespace":"a@alpha"}"#,
        r#"{"metadata":{"namespace":"a@alpha"#,
        r#"{"metadata":{"namespace":"a@alpha"],"x":1}"#,
        r#"{"metadata" {"namespace":"a@alpha"}}"#,
        r#"{"metadata":{"namespace":"a@alpha",}}"#,
        r#"{"metadata":{"namespace":"a@alpha\"#,
    ] {
        let read = resource(text).unwrap();
        assert_eq!(read.body, text);
        assert_eq!((read.cluster, read.namespaces.len()), (None, 0), "{text}");
    }
}

#[test]
fn deep_nesting_is_no_hiding_place() {
    let deep = format!("{{\"x\":{}1{},", "[".repeat(9_999), "]".repeat(9_999));
    let text = deep + r#""metadata":{"namespace":"a@alpha"}}"#;
    assert_eq!(resource(&text).unwrap().namespaces, ["a"]);
}

#[test]
fn nesting_is_bounded() {
    let text = format!("{{\"x\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(body(&text), text);
}
