//! Documents that are made to cost.

use std::fmt::Write as _;

use super::{invalid_documents, schema};
use crate::graphql::{
    limits::{self, Limit},
    plan::{self, Planned},
};

fn limit(text: &str) -> Option<Limit> {
    match plan::plan(text, &schema()) {
        Planned::Limit(limit) => Some(limit),
        Planned::Federated(_) | Planned::Unchanged => None,
    }
}

#[test]
fn every_limit_names_itself_and_what_is_just_below_passes() {
    let roots = |n: usize| format!("{{{}}}", "viewer{user{username}} ".repeat(n));
    assert_eq!(limit(&roots(limits::ROOT_FIELDS)), None);
    assert_eq!(limit(&roots(limits::ROOT_FIELDS + 1)), Some(Limit::RootFields));

    let aliases = |n: usize| {
        let all: String = (0..n).fold(String::new(), |mut out, n| {
            let _ = write!(out, "a{n}:name ");
            out
        });
        format!("{{namespace(name:\"x\"){{{all}}}}}")
    };
    assert_eq!(limit(&aliases(limits::ALIASES)), None);
    assert_eq!(limit(&aliases(limits::ALIASES + 1)), Some(Limit::Aliases));

    // `{`, `}`, and what `namespace(name:"x"){…}` has, are 9 tokens.
    let tokens = |n: usize| format!("{{namespace(name:\"x\"){{{}}}}}", "name ".repeat(n));
    assert_eq!(limit(&tokens(limits::TOKENS - 10)), None);
    assert_eq!(limit(&tokens(limits::TOKENS)), Some(Limit::Tokens));
    assert_eq!(limit(&format!("{{__typename{}}}", ",".repeat(limits::RAW_TOKENS))), Some(Limit::Tokens));

    let nested = |n: usize| format!("{}__typename{}", "{...".repeat(n), "}".repeat(n));
    assert_eq!(limit(&nested(limits::NESTING + 1)), Some(Limit::Depth));
    for (kind, message) in [(Limit::Depth, "32"), (Limit::Operations, "10"), (Limit::Tokens, "15000")] {
        assert!(kind.message().contains(message));
    }
}

#[test]
fn depth_counts_fields_through_fragments() {
    let chain = |n: usize| {
        let mut text = "{namespace(name:\"x\"){checks{nodes{...F0}}}}".to_owned();
        for level in 0..n {
            let next = if level + 1 < n { format!("...F{}", level + 1) } else { "id".to_owned() };
            let _ = write!(
                text,
                " fragment F{level} on CheckConfig{{handlers{{mutator{{id}} handlers{{id}}}} runtimeAssets{{id}} {next}}}"
            );
        }
        text
    };
    assert_eq!(limit(&chain(200)), None, "fragments add no depth");
    let mut text = "{namespace(name:\"x\"){checks{nodes{...F0}}}}".to_owned();
    for level in 0..20 {
        let _ = write!(text, " fragment F{level} on Handler{{handlers{{...F{}}}}}", level + 1);
    }
    text.push_str(" fragment F20 on Handler{handlers{id}}");
    let text = text.replacen("{...F0}", "{handlers{...F0}}", 1);
    assert_eq!(limit(&text), None);
    let deeper = text.replace(
        "fragment F20 on Handler{handlers{id}}",
        &format!("fragment F20 on Handler{{{}id{}}}", "handlers{".repeat(20), "}".repeat(20)),
    );
    assert_eq!(limit(&deeper), Some(Limit::Depth));
}

#[test]
fn fragments_that_double_each_other_cost_their_length() {
    // 2^60 fields, were they opened.
    let mut text = "{namespace(name:\"x\"){checks{nodes{handlers{...F0}}}}}".to_owned();
    for level in 0..60 {
        let _ = write!(text, " fragment F{level} on Handler{{...F{0} ...F{0} id}}", level + 1);
    }
    text.push_str(" fragment F60 on Handler{id name}");
    assert_eq!(limit(&text), None);

    // The same with fields between: 2^25 places in the answer.
    let mut text = "{namespace(name:\"x\"){checks{nodes{handlers{...F0}}}}}".to_owned();
    for level in 0..25 {
        let _ = write!(
            text,
            " fragment F{level} on Handler{{handlers{{...F{0}}} x:handlers{{...F{0}}}}}",
            level + 1
        );
    }
    text.push_str(" fragment F25 on Handler{id}");
    assert_eq!(limit(&text), Some(Limit::Aliases));

    // Merged in ever new ways: fields of one key under many conditions.
    let mut text = "{node(id:\"srn:checks:a:b\"){".to_owned();
    for _ in 0..3000 {
        text.push_str("...F ");
    }
    text.push_str("}} fragment F on Node{");
    for _ in 0..1000 {
        text.push_str("...on Entity{id}");
    }
    text.push('}');
    assert!(matches!(limit(&text), None | Some(Limit::Complexity)));
}

#[test]
fn a_set_that_merges_in_too_many_ways_is_refused() {
    // Each level has two spellings of one field, which merge; all levels together would be looked at again and again.
    let mut text = "{node(id:\"srn:checks:a:b\"){...on Handler{".to_owned();
    let mut close = String::from("}}}");
    for _ in 0..12 {
        text.push_str("handlers{");
        text.push_str(&"handlers{id}handlers{name}".repeat(100));
        close.push('}');
    }
    text.push_str("id");
    text.push_str(&close);
    assert!(matches!(limit(&text), None | Some(Limit::Complexity)));
}

#[test]
fn what_harms_a_cluster_is_found_in_any_body() {
    use crate::graphql::{GraphQlError, inspect};
    let cycle = "{a ...F} fragment F on Query{b ...G} fragment G on Query{...F}";
    let of = |query: &str, variables: serde_json::Value| serde_json::json!({"query": query, "variables": variables});
    let none = serde_json::Value::Null;
    for body in [
        of(cycle, none.clone()).to_string(),
        serde_json::json!([of("{a}", none.clone()), 1, of(cycle, none.clone())]).to_string(),
        of(&format!("{cycle} {}", "{".repeat(100_000)), none.clone()).to_string(),
        of(&"...F ".repeat(100_000), none.clone()).to_string().replace("...F \"", &format!("{cycle}\"")),
    ] {
        assert_eq!(inspect(body.as_bytes()), Err(GraphQlError::Cycle));
    }
    for body in [
        of("{check(namespace:\"a\",name:\"../b/c\"){id}}", none.clone()),
        of("{check(namespace:\"a\",name:\"\\u002e./b/c\"){id}}", none.clone()),
        of("query($n:X){node(id:$n){id}}", serde_json::json!({"n": {"x": ["srn:checks:a:..%2Fb%2Fc"]}})),
        of("{a(b:\"x/%2e%2E/y\")}", none.clone()),
    ] {
        assert_eq!(inspect(body.to_string().as_bytes()), Err(GraphQlError::PathTraversal), "{body}");
    }
    for body in [r#"{"query":"{...F} fragment F on Q{...F}"} x"#, "{\"query\":\"\\u007b"] {
        assert_eq!(inspect(body.as_bytes()), Err(GraphQlError::Unreadable), "{body}");
    }
    for body in [
        of(
            "{...F ...F} fragment F on Query{a}",
            serde_json::json!({"command": "./check.sh", "text": "well..."}),
        )
        .to_string(),
        of("{a(b:\"fragment F on Q {...F}\") # ...\n}", none).to_string(),
        "{\"query\":".to_owned(),
        String::new(),
        "null".to_owned(),
    ] {
        assert_eq!(inspect(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn what_sensu_reads_in_another_way_counts_as_hostile() {
    use crate::graphql::{GraphQlError, inspect};
    let query = |text: &str| serde_json::json!({ "query": text }).to_string();
    let check = |namespace: &str, name: &str| {
        query(&format!("{{check(namespace:\"{namespace}\",name:\"{name}\"){{id}}}}"))
    };
    let asset =
        r#"{"type":"Asset","metadata":{"name":"\u002e./b/c","namespace":"a"},"spec":{"url":"http://x"}}"#;
    let put = "mutation($r:String!){putWrapped(raw:$r){node{id}}}";
    for body in [
        check("a", r"\ud800/../../b/c"),
        check("a", r"\udc00"),
        check("a", "\t/../../b/c"),
        check("a", r"\ud83d\ude00/../../b/c"),
        check(".", "b/c"),
        check("/", "b/c"),
        check(".//", "b/c"),
        query(r#"{event(namespace:"a",entity:"..",check:"b/c/d"){id}}"#),
        query(r#"query A($n:String="\ud800/../../b/c"){check(namespace:"a",name:$n){id}} query B{a}"#),
        query(r#"mutation{deleteCheck(input:{id:"srn:checks:a:\ud800%2F..%2F..%2Fb%2Fc"}){deletedId}}"#),
        query(r#"{node(id:"srn:events:a:check/WyJcdWQ4MDAvLi4vLi4vYi9lIiwiZCJd"){id}}"#),
        serde_json::json!({"query": put, "variables": {"r": asset}}).to_string(),
        r#"{"query":"{a}","variables":{"n":"\ud800"}}"#.to_owned(),
    ] {
        assert_eq!(inspect(body.as_bytes()), Err(GraphQlError::PathTraversal), "{body}");
    }
    // Base64 hides the name, so nothing but the bad byte, the bad escape or the text behind shows.
    let hidden = query(r#"{node(id:"srn:events:a:check/WyIuLi9iL2MiLCJkIl0="){id}}"#);
    let start = hidden.strip_suffix('}').unwrap();
    for body in [
        [start.as_bytes(), b",\"x\":\"\xff\"}"].concat(),
        [start.as_bytes(), b",\"\\ud800\":1}"].concat(),
        [hidden.as_bytes(), b" x"].concat(),
    ] {
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(inspect(&body), Err(GraphQlError::Unreadable), "{shown}");
    }
    for body in [check("a", "b"), check("a", "..."), check("a@alpha", "./b"), query("{a(b:\"{\")}")] {
        assert_eq!(inspect(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn a_fragment_that_contains_itself_hides_behind_no_string() {
    for text in [
        r#"{a(b:"\ud800") ...F} fragment F on Query{a(b:"\udc00") ...F}"#,
        "{a(b:\"\t\") ...F} fragment F on Query{...F}",
    ] {
        assert_eq!(limit(text), Some(Limit::Cycle), "{text}");
    }
}

#[test]
fn documents_that_sensu_refuses_are_left_to_it() {
    for namespace in ["x", "x@alpha", "x@nowhere"] {
        for text in invalid_documents(namespace) {
            assert!(matches!(plan::plan(&text, &schema()), Planned::Unchanged), "{text}");
        }
    }
    let silence = "mutation{createSilence(input:{namespace:\"x@alpha\",props:{begin:\"2006-01-02T15:04:05Z\"}}){silence{id}}}";
    assert!(matches!(plan::plan(silence, &schema()), Planned::Federated(_)));
    // Deeper than the validator follows.
    let mut deep = "{namespace(name:\"x@alpha\"){...F0}}".to_owned();
    for level in 0..400 {
        let _ = write!(deep, " fragment F{level} on Namespace{{...F{}}}", level + 1);
    }
    deep.push_str(" fragment F400 on Namespace{name}");
    assert!(matches!(plan::plan(&deep, &schema()), Planned::Unchanged));
}
