//! What clusters are sent.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value as Json, json};

use super::{planned, planned_unvalidated, schema, snapshot};
use crate::graphql::{
    document,
    plan::{self, Plan, Planned},
    request::{self, Incoming},
    resolve::{self, GroupTarget, Target},
};

/// The requests that an operation becomes: where to, and query and variables.
pub(super) fn sent(text: &str, variables: &Json) -> Vec<(String, String, Json)> {
    let body = json!({"query": text, "variables": variables}).to_string();
    let Incoming::One(operation) = request::read(body.as_bytes()) else { panic!("one operation") };
    let plan = planned(text);
    let clusters = snapshot(&["local-cluster", "alpha", "beta"]);
    let resolution = resolve::resolve(&plan, &operation, &clusters);
    let whole = resolution.whole().is_some();
    let groups = resolution.groups.iter().map(|group| {
        let to = match &group.target {
            GroupTarget::Cluster(cluster) => cluster.to_string(),
            GroupTarget::Viewer => "viewer".to_owned(),
            GroupTarget::Introspection => "introspection".to_owned(),
        };
        let body = if whole {
            resolution.whole_body(&plan, &operation)
        } else {
            resolution.body(&plan, &operation, group)
        };
        let body: Json = serde_json::from_str(&body).unwrap();
        (to, body["query"].as_str().unwrap().to_owned(), body["variables"].clone())
    });
    groups.collect()
}

fn one(text: &str, variables: &Json) -> (String, String, Json) {
    let mut all = sent(text, variables);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn targets(text: &str, variables: &Json) -> Vec<Target> {
    targets_of(&planned(text), text, variables)
}

fn targets_of(plan: &Plan, text: &str, variables: &Json) -> Vec<Target> {
    let body = json!({"query": text, "variables": variables}).to_string();
    let Incoming::One(operation) = request::read(body.as_bytes()) else { panic!("one operation") };
    resolve::resolve(plan, &operation, &snapshot(&["local-cluster", "alpha"])).targets
}

#[test]
fn a_variable_loses_its_cluster_and_the_text_stays() {
    let text =
        "query ($n: String!, $x: Int) { namespace(name: $n) { id checks(limit: $x) { nodes { id } } } }";
    let (to, query, variables) = one(text, &json!({"n": "default@alpha", "x": 1.5}));
    assert_eq!((to.as_str(), query.as_str()), ("alpha", text));
    assert_eq!(variables, json!({"n": "default", "x": 1.5}));
    let (to, _, variables) = one(text, &json!({"n": "default@local-cluster"}));
    assert_eq!((to.as_str(), variables), ("local-cluster", json!({"n": "default"})));
}

#[test]
fn a_literal_leaves_white_space_behind() {
    let text = "{a:namespace(name:\"default@alpha\"){name}b:node(id:\"srn:checks:x@alpha:c\"){id}}";
    let (to, query, _) = one(text, &json!({}));
    assert_eq!(to, "alpha");
    assert_eq!(query, "{a:namespace(name:\"default\"      ){name}b:node(id:\"srn:checks:x:c\"      ){id}}");
    let block = "{namespace(name:\"\"\"\n  default@alpha\n\"\"\"){name}\n}";
    let (_, query, _) = one(block, &json!({}));
    assert_eq!(query, "{namespace(name:\"default\"\n\n   ){name}\n}");
    let escaped = r#"{namespace(name:"default\u0040alpha"){name}}"#;
    assert_eq!(one(escaped, &json!({})).1, "{namespace(name:\"default\"           ){name}}");
}

#[test]
fn input_objects_are_looked_into_as_literals_and_variables() {
    let mutation = "mutation($ns:String,$i:CreateSilenceInput!){a:createSilence(input:{namespace:$ns,check:\"c@d\",props:{}}){silence{id}}\
        b:createSilence(input:$i){silence{id}}}";
    let input = json!({"namespace": "ops@alpha", "check": "x@y", "props": {"reason": "a@alpha"}});
    let (to, query, variables) = one(mutation, &json!({"ns": "default@alpha", "i": input}));
    assert_eq!((to.as_str(), query.as_str()), ("alpha", mutation));
    assert_eq!(
        variables,
        json!({"ns": "default", "i": {"namespace": "ops", "check": "x@y", "props": {"reason": "a@alpha"}}})
    );
    let (to, _, variables) = one(
        "mutation($i:DeleteRecordInput!){deleteCheck(input:$i){deletedId}}",
        &json!({"i": {"id": "srn:checks:a@beta:b"}}),
    );
    assert_eq!((to.as_str(), variables), ("beta", json!({"i": {"id": "srn:checks:a:b"}})));
}

#[test]
fn a_resource_in_a_string_names_its_cluster() {
    let raw = r#"{"type":"CheckConfig","metadata":{"name":"a","namespace":"ops@alpha"},"spec":{"n":1.0}}"#;
    let text = "mutation($r:String!){putWrapped(raw:$r){node{id}}}";
    let (to, _, variables) = one(text, &json!({"r": raw}));
    assert_eq!(
        (to.as_str(), variables["r"].as_str().unwrap()),
        ("alpha", raw.replace("@alpha", "").as_str())
    );
    let literal = format!("mutation{{putWrapped(raw:{}){{node{{id}}}}}}", json!(raw));
    let (to, query, _) = one(&literal, &json!({}));
    assert_eq!(to, "alpha");
    assert!(query.contains(r#"\"namespace\":\"ops\"}"#) && query.len() == literal.len(), "{query}");
}

#[test]
fn default_values_name_clusters_too() {
    let text = "query($n:String=\"default@alpha\"){namespace(name:$n){name}}";
    let (to, query, variables) = one(text, &json!({}));
    assert_eq!(to, "alpha");
    assert_eq!(
        (query.as_str(), variables),
        ("query($n:String=\"default\"      ){namespace(name:$n){name}}", json!({}))
    );
    let (to, _, variables) = one(text, &json!({"n": "x@beta"}));
    assert_eq!((to.as_str(), variables), ("beta", json!({"n": "x"})));
}

#[test]
fn every_cluster_gets_its_fields_and_what_they_use() {
    let text = "query Q($a: String!, $b: String!,\n  $c: Int) {\n  ...R\n  b: namespace(name: $b) { ...N }\n  ... @include(if: true) { v: versions { backend { version } } }\n}\n\
        fragment R on Query { a: namespace(name: $a) { ...C } c: check(namespace: \"x@beta\", name: \"y\") { id } }\n\
        fragment C on Namespace { checks(limit: $c) { nodes { id } } }\nfragment N on Namespace { name }";
    let variables = json!({"a": "default@alpha", "b": "default@beta", "c": 5});
    let all: BTreeMap<String, (String, Json)> =
        sent(text, &variables).into_iter().map(|(to, query, variables)| (to, (query, variables))).collect();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["alpha", "beta", "local-cluster"]);
    let words = |to: &str| all[to].0.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        words("alpha"),
        "query Q($a: String!, , $c: Int) { ...R } fragment R on Query { a: namespace(name: $a) { ...C } } \
         fragment C on Namespace { checks(limit: $c) { nodes { id } } }"
    );
    assert_eq!(
        words("beta"),
        "query Q( $b: String!, ) { ...R b: namespace(name: $b) { ...N } } fragment R on Query { \
         c: check(namespace: \"x\" , name: \"y\") { id } } fragment N on Namespace { name }"
            .replace("Q( $b", "Q( , $b")
    );
    assert_eq!(
        words("local-cluster"),
        "query Q { ... @include(if: true) { v: versions { backend { version } } } }"
    );
    assert_eq!(all["alpha"].1["a"], "default");
    for (query, _) in all.values() {
        let shape = |text: &str| text.split('\n').map(str::len).collect::<Vec<_>>();
        assert_eq!(shape(query), shape(text), "lines and columns must stay");
    }
}

#[test]
fn mutations_travel_with_their_neighbours_only() {
    let delete = |key: &str, id: &str| format!("{key}:deleteCheck(input:{{id:\"{id}\"}}){{deletedId}} ");
    let text = format!(
        "mutation{{{}{}{}{}}}",
        delete("a", "srn:checks:x@alpha:1"),
        delete("b", "srn:checks:x@alpha:2"),
        delete("c", "srn:checks:x@beta:3"),
        delete("d", "srn:checks:x@alpha:4"),
    );
    let to: Vec<String> = sent(&text, &json!({})).into_iter().map(|(to, ..)| to).collect();
    assert_eq!(to, ["alpha", "beta", "alpha"]);
}

#[test]
fn what_names_no_cluster_goes_nowhere() {
    let text = "query($n:String!){namespace(name:$n){name}}";
    for bad in ["default@gamma", "@alpha", "default@", "a@b@c", "..", "x/../y", "default@alpha@alpha"] {
        assert!(matches!(targets(text, &json!({"n": bad}))[0], Target::Nowhere(_)), "{bad}");
    }
    for local in [json!("default"), json!(""), json!(5), json!(null), json!({"a": 1})] {
        assert!(
            matches!(&targets(text, &json!({"n": local}))[0], Target::Cluster(c) if c.is_local()),
            "{local}"
        );
    }
    let two = "mutation($i:UpdateCheckInput!){updateCheck(input:$i){check{id}}}";
    assert!(matches!(
        &targets(two, &json!({"i": {"id": "srn:checks:a@alpha:b", "props": {}}}))[0],
        Target::Cluster(_)
    ));
    let conflict = "mutation($n:String,$i:[ID!]){createSilence(input:{namespace:[\"a@alpha\",\"b\"],props:{}}){silence{id}}}";
    // Not valid, so it takes a client that skips validation.
    let plan = planned_unvalidated(conflict);
    assert!(matches!(targets_of(&plan, conflict, &json!({}))[0], Target::Conflict(_)));
}

#[test]
fn skipped_fields_need_no_cluster() {
    let text = "query($s:Boolean!){a:namespace(name:\"x@alpha\"){name} b:namespace(name:\"y@gamma\")@skip(if:$s){name}}";
    let all = targets(text, &json!({"s": true}));
    assert!(matches!(&all[..], [Target::Cluster(_), Target::Skipped]));
    assert!(matches!(targets(text, &json!({"s": false}))[1], Target::Nowhere(_)));
    assert!(matches!(targets(text, &json!({"s": "true"}))[1], Target::Nowhere(_)));
}

#[test]
fn documents_that_are_not_understood_are_not_planned() {
    for text in [
        "",
        "{",
        "{nope}",
        "query A{__typename} query B{__typename}",
        "subscription{x}",
        "fragment F on Query{__typename}",
        "{...F}",
        "{namespace(name:\"x\"){nope}}",
        "{namespace(nope:1){name}}",
        "{namespace(name:\"x\"){...on Nope{name}}}",
        "type Query{a:Int}",
        "{...on Namespace{name}}",
        "{a:namespace(name:\"x\"){name} a:check(namespace:\"x\",name:\"y\"){name}}",
        "{viewer{}}",
        "{...F} fragment F on Query{__typename} fragment F on Query{__typename}",
        "{viewer{user{username}}@x}",
        "{viewer @deprecated{user{username}}}",
        "\u{feff}{",
        "query($a:){__typename}",
    ] {
        assert!(matches!(plan::plan(text, &schema()), Planned::Unchanged), "{text}");
    }
}

#[test]
fn documents_that_are_not_valid_are_not_planned() {
    for text in [
        "{namespace(name:\"x@alpha\"){name name:id}}",
        "{namespace(name:\"x@alpha\"){name{x}}}",
        "{namespace(name:\"x@alpha\")}",
        "{check(namespace:\"x@nowhere\",name:\"y\")}",
        "{check(namespace:\"x@alpha\"){id}}",
        "{namespace(name:5){name}}",
        "{namespace(name:\"x@alpha\",name:\"y\"){name}}",
        "{namespace(name:\"x@alpha\"){checks(orderBy:NOPE){nodes{id}}}}",
        "{namespace(name:\"x@alpha\"){checks(limit:\"x\"){nodes{id}}}}",
        "query($n:String){namespace(name:$n){name}}",
        "query($n:Int!){namespace(name:$n){name}}",
        "query($n:Namespace!){namespace(name:$n){name}}",
        "query($n:Nope!){namespace(name:$n){name}}",
        "query($n:String!,$n:String!){namespace(name:$n){name}}",
        "query($n:String!,$x:Int){namespace(name:$n){name}}",
        "{namespace(name:$n){name}}",
        "{namespace(name:\"x@alpha\"){name}} fragment F on Namespace{id}",
        "{namespace(name:\"x@alpha\"){...F}} fragment F on Event{id}",
        "{namespace(name:\"x@alpha\"){...F}} fragment F on String{id}",
        "{namespace(name:\"x@alpha\"){...on Viewer{user{username}}}}",
        "{namespace(name:\"x@alpha\"){name @include}}",
        "{namespace(name:\"x@alpha\"){name @include(if:\"x\")}}",
        "query @skip(if:true){namespace(name:\"x@alpha\"){name}}",
        "mutation{deleteCheck(input:{id:\"x\",nope:1}){deletedId}}",
        "mutation{deleteCheck(input:{}){deletedId}}",
    ] {
        assert!(matches!(plan::plan(text, &schema()), Planned::Unchanged), "{text}");
    }
}

#[test]
fn what_only_a_later_edition_refuses_is_planned() {
    for text in [
        "{namespace(name:\"x@alpha\"){checks(limit:99999999999){nodes{id}}}}",
        "{namespace(name:\"x@alpha\"){name @skip(if:false) @skip(if:false)}}",
        "{namespace(name:\"x@alpha\"){name} __schema{directives{name onField onFragment onOperation}}}",
        "{namespace(name:\"x@alpha\"){cluster}}",
    ] {
        let _ = planned(text);
    }
    let invalid = "{namespace(name:\"x@alpha\"){name name:id}}";
    assert!(matches!(plan::plan_unvalidated(invalid, &schema()), Planned::Federated(_)));
}

#[test]
fn the_whole_document_equals_the_part_with_all_fields() {
    let text = "query($n:String!){a:namespace(name:$n){cluster ...F} b:viewer{namespaces{name}}} fragment F on Namespace{id}";
    let plan = planned(text);
    let all: HashSet<usize> = plan.roots.iter().flat_map(|root| root.fields.clone()).collect();
    assert_eq!(document::whole(&plan), document::part(&plan, &all));
    assert!(document::whole(&plan).contains("{cluster:__typename ...F}"));
}

#[test]
fn names_that_lead_out_of_their_namespace_go_nowhere() {
    let text = "query($n:String!,$e:String!){check(namespace:\"a@alpha\",name:$n){id} event(namespace:\"a\",entity:$e,check:\"d\"){id}}";
    for bad in ["../b/c", "b/c", "..", "."] {
        let all = targets(text, &json!({"n": bad, "e": "web"}));
        assert!(matches!(&all[..], [Target::Nowhere(_), Target::Cluster(_)]), "{bad}");
        let all = targets(text, &json!({"n": "web", "e": bad}));
        assert!(matches!(&all[..], [Target::Cluster(_), Target::Nowhere(_)]), "{bad}");
    }
    let literal =
        "{check(namespace:\"a\",name:\"../b/c\"){id} suggest(ref:\"core/v2/x\",namespace:\"a\"){values}}";
    assert!(matches!(&targets(literal, &json!({}))[..], [Target::Nowhere(_), Target::Cluster(_)]));
    let silence = "mutation($i:CreateSilenceInput!){createSilence(input:$i){silence{id}}}";
    let input = |sub: &str| json!({"i": {"namespace": "a", "subscription": sub, "props": {}}});
    assert!(matches!(targets(silence, &input("../../b"))[0], Target::Nowhere(_)));
    assert!(matches!(targets(silence, &input("entity:web-1"))[0], Target::Cluster(_)));
}
