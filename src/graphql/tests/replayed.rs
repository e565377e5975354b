//! Exchanges recorded from a real backend, replayed as if the backend were a remote cluster.

use serde_json::Value as Json;

use super::{planned, rewrite, schema};
use crate::graphql::plan::{self, Planned};

const FILES: &[&str] = &[
    include_str!("../../../tests/data/sensu-6.12/graphql-read.json"),
    include_str!("../../../tests/data/sensu-6.12/graphql-write.json"),
];

/// Names of recorded namespaces, to find them in questions and answers.
const NAMESPACES: &[&str] =
    &["default", "fix-db", "fix-empty", "fix-web", "fix-web-eu", "fix-gq", "sensu-system"];

/// Each recorded operation that has a single answer: name, query, text of the answer.
fn recorded() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for file in FILES {
        let file: Json = serde_json::from_str(file).unwrap();
        for exchange in file["exchanges"].as_array().unwrap() {
            let query = exchange["request"]["body"]["query"].as_str();
            let text = exchange["response"]["text"].as_str().filter(|text| text.starts_with("{\"auth\""));
            if let (Some(query), Some(text)) = (query, text) {
                let name = exchange["name"].as_str().unwrap();
                found.push((name.to_owned(), query.to_owned(), text.to_owned()));
            }
        }
    }
    found
}

#[test]
fn recorded_answers_come_back_once_the_cluster_is_taken_out_again() {
    let mut replayed = 0;
    for (name, query, text) in recorded() {
        let Planned::Federated(plan) = plan::plan(&query, &schema()) else { continue };
        let local = rewrite(&plan, "local-cluster", text.as_bytes(), 100).unwrap();
        assert_eq!(String::from_utf8(local).unwrap(), text, "{name}");
        let remote = String::from_utf8(rewrite(&plan, "zz", text.as_bytes(), 100).unwrap()).unwrap();
        let back = remote.replace(",\"extensions\":{\"cluster\":\"zz\"}", "").replace("@zz", "");
        assert_eq!(back, text, "{name}");
        replayed += 1;
    }
    assert!(replayed > 80, "{replayed}");
}

#[test]
fn no_id_or_namespace_of_a_recorded_answer_stays_plain() {
    for (name, query, text) in recorded() {
        let Planned::Federated(plan) = plan::plan(&query, &schema()) else { continue };
        let remote = rewrite(&plan, "zz", text.as_bytes(), 64).unwrap();
        let answer: Json = serde_json::from_slice(&remote).unwrap();
        check(&answer["data"], "", &name);
    }
}

fn check(value: &Json, key: &str, exchange: &str) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| check(item, key, exchange)),
        Json::Object(members) => members.iter().for_each(|(key, value)| check(value, key, exchange)),
        Json::String(text) => {
            let cluster_wide = text.starts_with("srn:clusterrole") || text.starts_with("srn:users");
            if text.starts_with("srn:") && !cluster_wide {
                assert!(text.contains("@zz"), "{exchange}: {text}");
            }
            if key == "namespace" {
                assert!(text.is_empty() || text.ends_with("@zz"), "{exchange}: {text}");
            }
            assert!(
                !NAMESPACES.contains(&text.as_str()) || !matches!(key, "namespace"),
                "{exchange}: {text}"
            );
        }
        _ => {}
    }
}

#[test]
fn what_sensu_refused_for_its_form_is_left_to_sensu() {
    for (name, query, text) in recorded() {
        let invalid = text.contains("\"data\":null")
            && !name.contains("missing-variable")
            && !name.contains("variables-not-object");
        if invalid && !name.contains("depth") {
            assert!(!matches!(plan::plan(&query, &schema()), Planned::Limit(_)), "{name}");
        }
    }
    // Sensu's own limit is lower, and its error names the place.
    let _ = planned("{namespace(name:\"fix-web\"){name}}");
}

#[test]
fn what_sensu_found_valid_is_planned_and_what_it_refused_is_not() {
    let mut counts = [0, 0];
    for (name, query, text) in recorded() {
        // Found after validation, or without it: a limit, a choice of operations, a variable's value.
        let apart = ["depth", "variable", "skip-validation", "batch"];
        if apart.iter().any(|part| name.contains(part)) {
            continue;
        }
        let answer: Json = serde_json::from_str(&text).unwrap();
        let refused = answer["data"].is_null() && answer["errors"][0]["path"].is_null();
        let planned = matches!(plan::plan(&query, &schema()), Planned::Federated(_));
        assert_eq!(planned, !refused, "{name}: {query}");
        counts[usize::from(refused)] += 1;
    }
    assert!(counts[0] > 70 && counts[1] > 4, "{counts:?}");
}
