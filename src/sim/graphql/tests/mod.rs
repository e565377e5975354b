//! What the recorded exchanges do not cover: the demo's data through every operation of the web UI.

mod random;
mod ui;

use std::fmt::Write;

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use apollo_compiler::{ast::FieldDefinition, schema::ExtendedType};

use super::schema::{self, SCHEMA};
use crate::sim::{Dropped, Options, Sensu, call::Call, reply::Reply};

/// A cluster with the demo's data.
fn demo() -> Sensu {
    let sensu = Sensu::new(Options { ..Options::default() });
    sensu.seed_demo(7);
    sensu.tick();
    sensu
}

/// The answer of an operation to a member of `group`.
fn ask_as(sensu: &Sensu, group: &str, query: &str, variables: &Value) -> Value {
    let answer = send(sensu, group, &json!({"query": query, "variables": variables}));
    assert_eq!(answer.status(), StatusCode::OK, "{query}");
    let body = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

fn send(sensu: &Sensu, group: &str, body: &Value) -> Reply {
    let token = sensu.keys().mint(&json!({"sub": "tester", "groups": [group]}));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    let call = Call {
        method: "POST".into(),
        path: "/graphql".into(),
        query: None,
        headers,
        body: Bytes::from(body.to_string()),
        host: "sensu.example.com".into(),
    };
    sensu.answer(&call)
}

fn ask(sensu: &Sensu, query: &str, variables: &Value) -> Value {
    ask_as(sensu, "cluster-admins", query, variables)
}

/// The data of an operation that has no errors.
fn data(sensu: &Sensu, query: &str, variables: &Value) -> Value {
    let mut answer = ask(sensu, query, variables);
    assert_eq!(messages(&answer).first(), None, "{query:.500}");
    answer["data"].take()
}

fn messages(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    errors.map(|error| error["message"].as_str().unwrap()).collect()
}

/// The errors of a query that takes no variables.
fn refused(query: &str) -> Vec<String> {
    let answer = ask(&Sensu::new(Options::default()), query, &json!({}));
    messages(&answer).into_iter().map(ToOwned::to_owned).collect()
}

/// The fields of a type.
fn fields(ty: &ExtendedType) -> Vec<&FieldDefinition> {
    let fields = match ty {
        ExtendedType::Object(ty) => Some(&ty.fields),
        ExtendedType::Interface(ty) => Some(&ty.fields),
        _ => None,
    };
    fields.into_iter().flat_map(|fields| fields.values()).map(|field| &***field).collect()
}

/// Every field of a type that needs no argument, `depth` levels deep.
fn everything(ty: &ExtendedType, depth: usize) -> String {
    let mut selection = String::from("{__typename");
    for field in fields(ty) {
        let inner = schema::named(&field.ty).unwrap();
        let skipped = matches!(
            (ty.name().as_str(), field.name.as_str()),
            // A silence need not have a check, a process has but a name, and an event is not silenced by names.
            ("Silenced", "check") | ("System", "processes") | ("Event", "silenced")
        );
        if skipped || field.arguments.iter().any(|a| a.ty.is_non_null()) {
            continue;
        }
        if !schema::is_composite(inner) {
            let _ = write!(selection, " {}", field.name);
        } else if depth > 0 {
            let _ = write!(selection, " {}{}", field.name, everything(inner, depth - 1));
        }
    }
    selection + "}"
}

#[test]
fn every_field_of_every_stored_type_has_a_value_of_its_type() {
    let sensu = demo();
    let namespace = everything(&SCHEMA.types["Namespace"], 5);
    let query = format!("{{viewer{{namespaces{namespace}}}}}");
    let data = data(&sensu, &query, &json!({}));
    let namespaces = data["viewer"]["namespaces"].as_array().unwrap();
    let events: u64 =
        namespaces.iter().map(|ns| ns["events"]["pageInfo"]["totalCount"].as_u64().unwrap()).sum();
    assert!(namespaces.len() >= 4 && events > 20, "{} namespaces, {events} events", namespaces.len());
}

#[test]
fn every_kind_of_node_is_found_by_its_id_and_has_all_fields() {
    let sensu = demo();
    let ids = [
        "srn:assets:default:sensu%2Fsystem-check",
        "srn:checks:default:cpu",
        "srn:filters:default:office-hours",
        "srn:handlers:default:slack",
        "srn:hooks:default:processes",
        "srn:mutators:default:only-output",
        "srn:corev2/pipeline:default:incident",
        "srn:roles:default:system:pipeline",
        "srn:rolebindings:default:system:pipeline",
        "srn:clusterroles:view",
        "srn:clusterrolebindings:viewers",
        "srn:silences:default:linux:ntp",
        "srn:entities:sensu-system:sensu-backend-1",
        "srn:core/v3.EntityConfig:sensu-system:sensu-backend-1",
        "srn:core/v3.EntityState:sensu-system:sensu-backend-1",
        "srn:namespaces:default",
    ];
    // One type a query: fields of the same name have other types in others.
    for id in ids {
        let ty = data(&sensu, "query($id:ID!){node(id:$id){__typename}}", &json!({"id": id}));
        let ty = ty["node"]["__typename"].as_str().unwrap_or_else(|| panic!("{id}")).to_owned();
        let fragment = format!("...on {ty}{}", everything(&SCHEMA.types[ty.as_str()], 2));
        let query = format!("query($id:ID!){{node(id:$id){{id {fragment}}} wrappedNode(id:$id)}}");
        let data = data(&sensu, &query, &json!({"id": id}));
        assert_eq!(data["node"]["id"], id);
        let kind = data["wrappedNode"]["type"].as_str();
        assert_eq!(kind.is_some_and(|kind| ty.contains(kind)), !ty.starts_with("CoreV3"), "{id}");
    }
}

#[test]
fn introspection_shows_the_whole_schema() {
    const TYPE: &str = "kind name ofType{kind name ofType{kind name ofType{kind name}}}";
    let query = format!(
        "query IntrospectionQuery{{__schema{{queryType{{name}} types{{...T}} directives{{name locations args{{...I}}}}}}}}
        fragment T on __Type{{kind name description fields(includeDeprecated:true){{name isDeprecated deprecationReason args{{...I}} type{{{TYPE}}}}}
        inputFields{{...I}} interfaces{{{TYPE}}} enumValues(includeDeprecated:true){{name isDeprecated}} possibleTypes{{{TYPE}}}}}
        fragment I on __InputValue{{name description type{{{TYPE}}} defaultValue}}"
    );
    let data = data(&Sensu::new(Options::default()), &query, &json!({}));
    let types = data["__schema"]["types"].as_array().unwrap();
    assert_eq!(types.len(), SCHEMA.types.len());
    let find = |name: &str| types.iter().find(|ty| ty["name"] == name).unwrap();
    for (ty, shown) in SCHEMA.types.values().zip(types) {
        let (shown, count) = match ty {
            ExtendedType::InputObject(ty) => (&shown["inputFields"], ty.fields.len()),
            ty => (&shown["fields"], fields(ty).len()),
        };
        assert_eq!(shown.as_array().map_or(0, Vec::len), count, "{}", ty.name());
    }
    let events =
        find("Namespace")["fields"].as_array().unwrap().iter().find(|f| f["name"] == "events").unwrap();
    assert_eq!(events["args"][1]["defaultValue"], "10");
    assert_eq!(
        events["type"],
        json!({"kind": "NON_NULL", "name": null, "ofType":
        {"kind": "OBJECT", "name": "EventConnection", "ofType": null}})
    );
    let implementations = find("Silenceable")["possibleTypes"].as_array().unwrap();
    assert_eq!(implementations.len(), 4);
    let input = find("DeleteRecordInput");
    assert_eq!((&input["kind"], &input["fields"]), (&json!("INPUT_OBJECT"), &Value::Null));
}

/// Documents, and the first thing that is said about each.
const MISTAKES: &[(&str, &str)] = &[
    ("{viewer{namespaces{nam}}}", "Cannot query field \"nam\" on type \"Namespace\". Did you mean \"name\"?"),
    ("{viewer}", "Field \"viewer\" of type \"Viewer\" must have a sub selection."),
    ("{__typename{x}}", "Field \"__typename\" of type \"String!\" must not have a sub selection."),
    (
        "{node(id:\"x\"){name}}",
        "Cannot query field \"name\" on type \"Node\". Did you mean to use an inline fragment on \"Asset\", \"CheckConfig\", \"Entity\", \"EventFilter\", or \"Handler\"?",
    ),
    (
        "{namespace(name:5){name}}",
        "Argument \"name\" has invalid value 5.\nExpected type \"String\", found 5.",
    ),
    (
        "{namespace(name:\"x\",nam:1){name}}",
        "Unknown argument \"nam\" on field \"namespace\" of type \"Query\". Did you mean \"name\"?",
    ),
    ("{viewer{...F}}", "Unknown fragment \"F\"."),
    ("{__typename} fragment F on Viewer{user{username}}", "Fragment \"F\" is never used."),
    (
        "{viewer{...F}} fragment F on Event{id}",
        "Fragment \"F\" cannot be spread here as objects of type \"Viewer\" can never be of type \"Event\".",
    ),
    ("query Q{namespace(name:$n){name}}", "Variable \"$n\" is not defined by operation \"Q\"."),
    ("query Q($n:String){__typename}", "Variable \"$n\" is never used in operation \"Q\"."),
    (
        "query Q($n:String){namespace(name:$n){name}}",
        "Variable \"$n\" of type \"String\" used in position expecting type \"String!\".",
    ),
    ("{__typename @nope}", "Unknown directive \"nope\"."),
    (
        "{__typename @include}",
        "Directive \"@include\" argument \"if\" of type \"Boolean!\" is required but not provided.",
    ),
    (
        "{a:viewer{user{username}} a:health{__typename}}",
        "Fields \"a\" conflict because viewer and health are different fields. Use different aliases on the fields to fetch both if this was intentional.",
    ),
    ("{__typename} {__typename}", "This anonymous operation must be the only defined operation."),
    ("query($x:Nope){__typename @include(if:$x)}", "Unknown type \"Nope\". Did you mean \"Node\"?"),
    ("{metrics{name}}", "metrics are not imitated"),
    (
        "{suggest(ref:\"core/v2/nope/x\",namespace:\"default\"){values}}",
        "no mapping found for 'core/v2/nope'",
    ),
];

#[test]
fn mistakes_are_answered_in_sensus_words() {
    for (query, message) in MISTAKES {
        assert_eq!(refused(query).first().map(String::as_str), Some(*message), "{query}");
    }
}

#[test]
fn a_fragment_within_itself_ends_the_backend() {
    let sensu = demo();
    for query in [
        "{viewer{...F}} fragment F on Viewer{...F}",
        "{__typename} fragment F on Viewer{...G} fragment G on Viewer{namespaces{name} ...F}",
    ] {
        let answer = send(&sensu, "viewers", &json!({"query": query}));
        assert!(answer.extensions().get::<Dropped>().is_some(), "{query}");
    }
    // Nobody looks at the fragments then, and they are followed once on each level.
    let query = "{check(namespace:\"default\",name:\"ntp\"){...F}} fragment F on CheckConfig{name runtimeAssets{id} ...F}";
    let answer = send(&sensu, "viewers", &json!({"query": query, "skip_validation": true}));
    assert_eq!(answer.status(), StatusCode::OK);
    let query =
        "{namespace(name:\"default\"){silences{nodes{...F}}}} fragment F on Silenced{check{silences{...F}}}";
    let answer = send(&sensu, "viewers", &json!({"query": query, "skip_validation": true}));
    assert_eq!(answer.status(), StatusCode::OK);
}

#[test]
fn errors_say_where_they_are() {
    let sensu = Sensu::new(Options::default());
    let answer = ask(&sensu, "{viewer{\n  ...F(x:1)}}", &json!({}));
    assert!(messages(&answer)[0].starts_with("Syntax Error GraphQL request (2:7)"), "{answer}");
    let answer = ask(&sensu, "query Q{\n namespace(other:1,name:$n){name}}", &json!({}));
    let places: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|e| &e["locations"]).collect();
    assert_eq!(places[0], &json!([{"line": 2, "column": 12}]));
    assert_eq!(places[1], &json!([{"line": 2, "column": 25}, {"line": 1, "column": 1}]));
}

#[test]
fn a_null_goes_up_to_where_it_is_allowed() {
    let sensu = demo();
    // The process has no number, and neither it, nor the list, nor the system may be null.
    let entity = json!({
        "metadata": {"name": "e", "namespace": "default"}, "entity_class": "proxy",
        "system": {"processes": [{"name": "init"}]},
    });
    sensu.apply(&http::Method::PUT, "/api/core/v2/namespaces/default/entities/e", &entity);
    let query =
        "{entity(namespace:\"default\",name:\"e\"){name system{processes{name pid}}} viewer{user{username}}}";
    let answer = ask(&sensu, query, &json!({}));
    assert_eq!(answer["data"], json!({"entity": null, "viewer": {"user": null}}));
    assert_eq!(messages(&answer), ["unable to coerce value for field 'pid'"]);
    assert_eq!(answer["errors"][0]["path"], json!(["entity", "system", "processes", 0, "pid"]));
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let sensu = demo();
    let query = "{viewer{namespaces{name}} namespace(name:\"default\"){events{pageInfo{totalCount}} checks{nodes{id}}}}";
    let seen = ask_as(&sensu, "viewers", query, &json!({}));
    assert_eq!(seen["errors"], Value::Null);
    assert_eq!(seen["data"], ask(&sensu, query, &json!({}))["data"]);
    for mutation in [
        "deleteCheck(input:{id:\"srn:checks:default:cpu\"}){deletedId}",
        "deleteEntity(input:{id:\"srn:entities:default:x\"}){deletedId}",
        "deleteSilence(input:{id:\"srn:silences:default:linux:ntp\"}){deletedId}",
        "createSilence(input:{check:\"cpu\",props:{}}){silence{id}}",
        "updateCheck(input:{id:\"srn:checks:default:cpu\",props:{publish:false}}){check{id}}",
    ] {
        let answer = ask_as(&sensu, "viewers", &format!("mutation{{{mutation}}}"), &json!({}));
        assert_eq!(messages(&answer), ["request unauthorized"], "{mutation}");
    }
    assert_eq!(seen["data"], ask(&sensu, query, &json!({}))["data"]);
}

#[test]
fn objects_are_put_as_in_files_for_sensuctl() {
    let sensu = demo();
    let query = "mutation P($raw:String!,$upsert:Boolean){putWrapped(raw:$raw,upsert:$upsert){node{__typename id} errors{code ...on StandardError{message}}}}";
    let put = |raw: &Value, upsert: bool| {
        data(&sensu, query, &json!({"raw": raw.to_string(), "upsert": upsert}))["putWrapped"].take()
    };
    let meta = json!({"name": "x", "namespace": "default"});
    for (kind, spec, ty, id) in [
        ("Handler", json!({"type": "pipe", "command": "true"}), "Handler", "srn:handlers:default:x"),
        ("Entity", json!({"entity_class": "proxy"}), "Entity", "srn:entities:default:x"),
        ("Namespace", json!({"name": "x"}), "Namespace", "srn:namespaces:x"),
        ("Silenced", json!({"subscription": "x"}), "Silenced", "srn:silences:default:x"),
    ] {
        let raw = json!({"type": kind, "api_version": "core/v2", "metadata": meta, "spec": spec});
        assert_eq!(put(&raw, false), json!({"errors": [], "node": {"__typename": ty, "id": id}}));
    }
    let handler = json!({"type": "Handler", "metadata": meta, "spec": {"type": "pipe", "command": "true"}});
    assert_eq!(put(&handler, true)["errors"], json!([]));
    let error = json!({"code": "ERR_ALREADY_EXISTS", "message": "could not create the key /sensu.io/handlers/default/x"});
    assert_eq!(put(&handler, false)["errors"], json!([error]));
    let bad = json!({"type": "Handler", "metadata": meta, "spec": {"type": "odd"}});
    assert_eq!(put(&bad, true)["errors"][0]["message"], "unknown handler type: odd");
    let none = json!({"type": "Handler", "metadata": meta});
    assert_eq!(put(&none, true)["errors"][0]["message"], "no spec provided");
}

#[test]
fn what_a_list_or_a_limit_cannot_be_is_refused_or_ignored() {
    let sensu = demo();
    let suggest = |limit: i64, reference: &str| {
        let query = format!(
            "{{suggest(ref:\"{reference}\",namespace:\"default\",limit:{limit}){{__typename values}}}}"
        );
        ask(&sensu, &query, &json!({}))
    };
    let negative = suggest(-1, "core/v2/entity/metadata/name");
    assert_eq!(
        (messages(&negative)[0], &negative["data"]["suggest"]),
        ("runtime error: slice bounds out of range [:-1]", &Value::Null)
    );
    // Next to an error, the value is not what was selected.
    assert_eq!(suggest(-1, "core/v2/nope/x")["data"], json!({"suggest": {"values": []}}));
    let query = "mutation U($input:UpdateCheckInput!){updateCheck(input:$input){check{subscriptions handlers{name}}}}";
    let input = json!({"input": {"id": "srn:checks:default:cpu", "props": {"subscriptions": [], "handlers": ["archive"]}}});
    let check = data(&sensu, query, &input)["updateCheck"]["check"].take();
    assert_eq!(check, json!({"handlers": [{"name": "archive"}], "subscriptions": ["linux"]}));
}

#[test]
fn literals_that_apollo_lets_pass_are_refused_in_sensus_words() {
    let sensu = demo();
    let silence =
        |input: &str| format!("mutation {{ createSilence(input: {{ {input} }}) {{ silence {{ id }} }} }}");
    let no_time = "\nIn field \"props\": In field \"begin\": Expected type \"DateTime\", found ";
    for (input, shown, found) in [
        (
            "namespace: \"default\", props: { begin: \"yesterday\" }",
            "{namespace: \"default\", props: {begin: \"yesterday\"}}",
            "\"yesterday\".",
        ),
        ("namespace: \"default\", props: { begin: 5 }", "{namespace: \"default\", props: {begin: 5}}", "5."),
    ] {
        let answer = ask(&sensu, &silence(input), &Value::Null);
        let message = format!("Argument \"input\" has invalid value {shown}.{no_time}{found}");
        assert_eq!(answer["errors"], json!([{"message": message, "locations": [{"line": 1, "column": 33}]}]));
    }
    let twice = "namespace: \"default\", namespace: \"x\", namespace: \"y\", props: { begin: \"2006-01-02T15:04:05Z\", begin: \"2006-01-02T15:04:05Z\" }";
    let error = |column: u32| {
        json!({"message": "There can be only one input field named \"namespace\".",
            "locations": [{"line": 1, "column": 35}, {"line": 1, "column": column}]})
    };
    assert_eq!(ask(&sensu, &silence(twice), &Value::Null)["errors"], json!([error(57), error(73)]));
}
