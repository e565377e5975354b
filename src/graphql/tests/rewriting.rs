//! Answers rewritten as they stream, against answers that were made qualified.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{
    RAW,
    generate::{Generator, Pool},
    mock::Server,
    planned, planned_unvalidated, rewrite, schema,
};
use crate::graphql::{
    document,
    plan::{self, Plan, Planned},
};

/// All root fields that name one cluster.
const ROOTS: &[&str] =
    &["namespace", "event", "entity", "mutator", "check", "eventFilter", "handler", "node", "wrappedNode"];

pub(super) fn pool() -> Pool {
    let names = ["entity", "mutator", "check", "eventFilter", "handler"].map(|root| (root, vec!["a", "b"]));
    Pool {
        namespaces: vec!["default", "ops"],
        names: names.into_iter().chain([("event", vec!["a/b"])]).collect::<HashMap<_, _>>(),
        ids: vec!["srn:checks:default%%:a".to_owned(), "srn:namespaces:ops%%".to_owned()],
        own_field: true,
    }
}

/// A plan with a key of the gateway's own, and a field of its own.
static TWO_TYPES: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    planned(
        "{node(id:\"srn:checks:a@alpha:b\"){id ...on Namespace{x:name cluster} ...on Entity{x:namespace}}}",
    )
});

/// Pieces of an answer; most follow each other as JSON has them.
fn token() -> impl Strategy<Value = &'static str> {
    let members = [
        r#""A":"Namespace","#,
        r#""A":"Entity","#,
        r#""x":"n","#,
        r#""x":"n""#,
        r#""id":"srn:checks:a:b","#,
        r#""id" : "srn:checks:a:\"b","#,
        r#""cluster":null,"#,
        r#""w":-1.5e3,"#,
        r#""w":{"x":["#,
        r#""extensions":{"#,
        r#""locations":[{"#,
        r#""w":"long enough to fill more than one lane of bytes \\ and on","#,
    ];
    let marks = ["{", "}", "[", "]", ",", ":", " ", "1", "\"x\"", "\"A\"", "nul"];
    prop_oneof![5 => prop::sample::select(members.to_vec()), 1 => prop::sample::select(marks.to_vec())]
}

/// Asks the made-up cluster what the plan asks, and answers what the client gets and what it should get. `None`: the
/// query is beyond a limit.
fn both(seed: u64, cluster: &str, step: usize) -> Option<(Json, Json, String)> {
    let pool = pool();
    let query = Generator::new(&RAW, &pool, seed).query(ROOTS);
    let suffix = format!("@{cluster}");
    let text = query.text(&suffix);
    // Now and then, a generated query gives one key to two fields of a type.
    let plan = match plan::plan_unvalidated(&text, &schema()) {
        Planned::Limit(_) => return None,
        _ => planned_unvalidated(&text),
    };
    let sent = document::whole(&plan);
    let schema = schema();
    let cluster_itself = Server { schema: &schema, cluster, qualified: false };
    let answer =
        json!({"auth": true, "data": cluster_itself.answer(&sent, &query.variables("")), "errors": null});
    let got = rewrite(&plan, cluster, answer.to_string().as_bytes(), step);
    let got = got.unwrap_or_else(|error| panic!("{error} for {text}"));
    let federated = Server { schema: &schema, cluster, qualified: true };
    let expected =
        json!({"auth": true, "data": federated.answer(&text, &query.variables(&suffix)), "errors": null});
    Some((serde_json::from_slice(&got).unwrap(), expected, text))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_qualified_wherever_the_selection_says_so(seed: u64, step in 1..400_usize) {
        for cluster in ["alpha", "local-cluster"] {
            if let Some((got, expected, text)) = both(seed, cluster, step) {
                prop_assert_eq!(&got, &expected, "{}", text);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_however_cut(
        answer in prop::collection::vec(prop::sample::select(br#"{}[]",:\ naA"#.to_vec()), 0..80),
        step in 1..9_usize,
    ) {
        let plan = planned("{namespace(name:\"a@alpha\"){id name cluster}}");
        let whole = rewrite(&plan, "alpha", &answer, answer.len());
        prop_assert_eq!(&whole, &rewrite(&plan, "alpha", &answer, step));
    }

    /// Tokens that stand whole in a chunk are read by a loop of their own.
    #[test]
    fn any_tokens_are_refused_or_read_the_same_however_cut(
        start in prop::sample::select(vec![r#"{"data":{"node":{"#, r#"{"errors":[{"#]),
        tokens in prop::collection::vec(token(), 0..40),
        closing in "[\\]}]{0,5}",
        step in 1..40_usize,
    ) {
        let answer = format!("{start}{}{closing}", tokens.concat());
        let whole = rewrite(&TWO_TYPES, "alpha", answer.as_bytes(), answer.len());
        prop_assert_eq!(&whole, &rewrite(&TWO_TYPES, "alpha", answer.as_bytes(), 1), "{}", answer);
        prop_assert_eq!(&whole, &rewrite(&TWO_TYPES, "alpha", answer.as_bytes(), step), "{}", answer);
        if let Ok(whole) = whole && serde_json::from_str::<Json>(&answer).is_ok() {
            prop_assert!(serde_json::from_slice::<Json>(&whole).is_ok(), "{}", answer);
        }
    }
}

#[test]
fn all_other_bytes_stay_as_they_are() {
    let plan = planned("{namespace(name:\"a@alpha\"){name events{nodes{timestamp id check{output}}}}}");
    let answer = " {\"auth\" : true ,\"data\":{\"namespace\":{ \"events\":{\"nodes\":[ {\"check\":{\"output\":\"\\u003c\\\" srn:a:b:c\"},\
        \"id\":\"srn:events:a:check/WyJ\\u0026\",\"timestamp\":1.0e+21},null ]} , \"name\" :\"a\"}},\"errors\":null} \n";
    let expected = answer
        .replace("srn:events:a:", "srn:events:a@alpha:")
        .replace("\"name\" :\"a\"", "\"name\" :\"a@alpha\"");
    for step in [1, 2, 3, 7, 1000] {
        let got = rewrite(&plan, "alpha", answer.as_bytes(), step).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), expected, "{step}");
    }
}

#[test]
fn errors_say_their_cluster_and_keep_everything_else() {
    let plan = planned("{namespace(name:\"a@alpha\"){name}}");
    let answer = r#"{"auth":true,"data":{"namespace":null},"errors":[{"message":"m","locations":[{"line":1,"column":2}],"path":["namespace","id"]},{"message":"n","extensions":{}},{"message":"o","extensions":{"a":[1]},"b":1}]}"#;
    let got = rewrite(&plan, "alpha", answer.as_bytes(), 5).unwrap();
    let expected = r#"{"auth":true,"data":{"namespace":null},"errors":[{"message":"m","locations":[{"line":1,"column":2}],"path":["namespace","id"],"extensions":{"cluster":"alpha"}},{"message":"n","extensions":{"cluster":"alpha"}},{"message":"o","extensions":{"cluster":"alpha","a":[1]},"b":1}]}"#;
    assert_eq!(String::from_utf8(got).unwrap(), expected);
    assert_eq!(rewrite(&plan, "local-cluster", answer.as_bytes(), 5).unwrap(), answer.as_bytes());
}

#[test]
fn an_error_without_members_gets_its_cluster_without_a_comma() {
    let plan = planned("{namespace(name:\"a@alpha\"){name}}");
    for step in [1, 100] {
        let got = rewrite(&plan, "alpha", br#"{"errors":[{},{ }]}"#, step).unwrap();
        let expected =
            r#"{"errors":[{"extensions":{"cluster":"alpha"}},{ "extensions":{"cluster":"alpha"}}]}"#;
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

#[test]
fn keys_and_ids_are_refused_from_the_same_length_on_however_cut() {
    let plan = planned("{namespace(name:\"a@alpha\"){id}}");
    for (length, good) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let text = "k".repeat(length);
        let answers =
            [format!("{{\"{text}\":1}}"), format!("{{\"data\":{{\"namespace\":{{\"id\":\"{text}\"}}}}}}")];
        for answer in answers {
            for step in [100, answer.len()] {
                assert_eq!(rewrite(&plan, "alpha", answer.as_bytes(), step).is_ok(), good, "{length} {step}");
            }
        }
    }
}

#[test]
fn locations_are_left_out_once_the_text_has_moved() {
    let plan = planned("{namespace(name:\"a@alpha\"){cluster}}");
    assert!(plan.moved);
    let answer = r#"{"data":null,"errors":[{"locations":[{"line":1,"column":[]}],"message":"m"}]}"#;
    let got = rewrite(&plan, "alpha", answer.as_bytes(), 4).unwrap();
    assert_eq!(
        String::from_utf8(got).unwrap(),
        r#"{"data":null,"errors":[{"locations":[],"message":"m","extensions":{"cluster":"alpha"}}]}"#
    );
}

#[test]
fn the_gateways_own_key_is_taken_out_wherever_it_stands() {
    let text = "{node(id:\"srn:checks:a@alpha:b\"){...on Namespace{x:name} ...on Entity{x:namespace} ...on CheckConfig{x:name}}}";
    let plan = planned(text);
    assert!(document::whole(&plan).contains("{A:__typename ...on Namespace"), "{}", document::whole(&plan));
    for (answer, expected) in [
        (r#"{"A":"Namespace","x":"n"}"#, r#"{"x":"n@alpha"}"#),
        (r#"{"A":"CheckConfig","x":"n"}"#, r#"{"x":"n"}"#),
        (r#"{ "A" : "Entity" , "x":"n" }"#, r#"{   "x":"n@alpha" }"#),
        (r#"{"A":"Asset"}"#, "{}"),
        (r#"{"w":1,"A":"Entity","x":"n"}"#, r#"{"w":1,"x":"n@alpha"}"#),
        (r#"{"w":1,"A":"Entity"}"#, r#"{"w":1}"#),
    ] {
        let answer = format!(r#"{{"data":{{"node":{answer}}}}}"#);
        for step in [1, 4, 100] {
            let got = String::from_utf8(rewrite(&plan, "alpha", answer.as_bytes(), step).unwrap()).unwrap();
            assert_eq!(got, format!(r#"{{"data":{{"node":{expected}}}}}"#), "{step}");
        }
    }
}

#[test]
fn broken_answers_are_refused() {
    let plan = planned("{namespace(name:\"a@alpha\"){name}}");
    for broken in ["", "[]", "null", "\"x\"", "{", "{}}", "{\"a\":[}}", "{\"a\" 1}", "{\"a\":1,}x", "<html>"]
    {
        assert!(rewrite(&plan, "alpha", broken.as_bytes(), 3).is_err(), "{broken}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(5000));
    assert!(rewrite(&plan, "alpha", deep.as_bytes(), 64).is_err());
}
