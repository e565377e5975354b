//! The operations that Sensu's web UI sends, on the demo's data. The fields are those that its pages show; the texts
//! are our own.

use http::Method;
use serde_json::{Value, json};

use super::{ask, data, demo, messages};
use crate::sim::Sensu;

const SILENCE: &str = "fragment Silence on Silenceable{isSilenced silences{id name creator reason begin expireAt expires expire expireOnResolve subscription check{id name}}}";

/// A list page: the lists beside the page's own, the page's own with its fields.
fn list_page(extra: &str, list: &str, order: &str, fields: &str, more: &str) -> String {
    format!(
        "query List($namespace:String!,$limit:Int,$offset:Int,$order:{order},$filters:[String!]){{
          namespace(name:$namespace){{__typename id name {extra}
            {list}(limit:$limit,offset:$offset,orderBy:$order,filters:$filters)
            @include(if:true){{__typename nodes{{__typename id {fields}}} pageInfo{{__typename totalCount}}}}}}}} {more}"
    )
}

fn page(sensu: &Sensu, query: &str, namespace: &str, order: &str, filters: &[&str]) -> Value {
    let variables =
        json!({"namespace": namespace, "limit": 25, "offset": 0, "order": order, "filters": filters});
    data(sensu, query, &variables)["namespace"].take()
}

/// The nodes of the only connection of a page.
fn nodes<'a>(page: &'a Value, list: &str) -> &'a Vec<Value> {
    page[list]["nodes"].as_array().unwrap()
}

#[test]
fn the_switcher_and_the_route_name_the_namespaces() {
    let sensu = demo();
    let listed =
        data(&sensu, "query NamespacesQuery{viewer{namespaces{name __typename} __typename}}", &json!({}));
    let names: Vec<_> =
        listed["viewer"]["namespaces"].as_array().unwrap().iter().map(|n| &n["name"]).collect();
    assert!(names.len() >= 4 && names.contains(&&json!("default")), "{names:?}");
    let route = "query NamespaceRouteQuery($namespace:String!){namespace(name:$namespace){name __typename}}";
    for name in names {
        let found = data(&sensu, route, &json!({"namespace": name}));
        assert_eq!(found["namespace"], json!({"__typename": "Namespace", "name": name}));
    }
    let version =
        data(&sensu, "query SensuVersion{versions{backend{version __typename} __typename}}", &json!({}));
    assert_eq!(version["versions"]["backend"]["version"], "6.12.0");
}

#[test]
fn the_events_page_sorts_and_filters() {
    let sensu = demo();
    let extra = "checks(limit:1000){nodes{name __typename} __typename} entities(limit:1000){nodes{name __typename} __typename}";
    let fields = "namespace timestamp isIncident deleted:isResolution entity{name __typename} check{nodeId name status output lastOK issued executed occurrences history(first:21){status __typename} __typename} ...Silence";
    let query = list_page(extra, "events", "EventsListOrder", fields, SILENCE)
        .replace("silences{id name creator", "silences{id name namespace creator")
        .replace("check{id name}", "");
    let all = page(&sensu, &query, "default", "SEVERITY", &[]);
    let ranks: Vec<_> = nodes(&all, "events")
        .iter()
        .map(|event| match event["check"]["status"].as_u64().unwrap() {
            2 => 0,
            1 => 1,
            0 => 3,
            _ => 2,
        })
        .collect();
    assert!(ranks.is_sorted() && ranks.len() > 10, "{ranks:?}");
    let incidents = page(&sensu, &query, "default", "LASTOK", &["status:incident"]);
    assert_eq!(nodes(&incidents, "events").len(), ranks.iter().filter(|rank| **rank < 3).count());
    let entity = nodes(&all, "events")[0]["entity"]["name"].as_str().unwrap().to_owned();
    let own = page(&sensu, &query, "default", "NEWEST", &[&format!("entity:{entity}"), "check:cpu"]);
    assert!(nodes(&own, "events").iter().all(|event| event["entity"]["name"] == entity.as_str()));
    let times: Vec<_> = nodes(&page(&sensu, &query, "default", "OLDEST", &[]), "events")
        .iter()
        .map(|event| event["timestamp"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted());
    let silenced = page(&sensu, &query, "default", "ENTITY", &["silenced:true"]);
    assert!(!nodes(&silenced, "events").is_empty());
    assert!(nodes(&silenced, "events").iter().all(|event| event["silences"][0]["name"] == "linux:ntp"));
}

/// List, type of its order, the order, fields, a filter, and how many pass that.
const LISTS: &[(&str, &str, &str, &str, &str, usize)] = &[
    (
        "entities",
        "EntityListOrder",
        "ID",
        "namespace name lastSeen status entityClass deregister user sensuAgentVersion subscriptions system{os hostname platform __typename} ...Silence",
        "class:agent",
        3,
    ),
    (
        "checks",
        "CheckListOrder",
        "NAME",
        "namespace name command interval cron timeout publish subscriptions proxyEntityName ...Silence",
        "subscription:linux",
        4,
    ),
    (
        "handlers",
        "HandlerListOrder",
        "NAME",
        "namespace name type command handlers{name __typename} mutator{name __typename} socket{host port __typename}",
        "type:set",
        1,
    ),
    ("eventFilters", "EventFilterListOrder", "NAME", "namespace name action expressions", "action:allow", 2),
    ("mutators", "MutatorListOrder", "NAME", "namespace name command type eval timeout", "", 1),
    (
        "silences",
        "SilencesListOrder",
        "ID",
        "namespace name creator reason begin expireAt expireOnResolve subscription",
        "subscription:linux",
        1,
    ),
];

#[test]
fn the_other_lists_show_the_demo() {
    let sensu = demo();
    for &(list, order, by, fields, filter, least) in LISTS {
        let more =
            if fields.contains("...Silence") { SILENCE.replace("check{id name}", "") } else { String::new() };
        let query = list_page("", list, order, fields, &more);
        let all = page(&sensu, &query, "default", by, &[]);
        let names: Vec<_> = nodes(&all, list).iter().map(|node| node["name"].as_str().unwrap()).collect();
        assert!(names.is_sorted() && names.len() >= least, "{list}: {names:?}");
        assert_eq!(all[list]["pageInfo"]["totalCount"], names.len());
        let backwards = page(&sensu, &query, "default", &format!("{by}_DESC"), &[]);
        assert!(nodes(&backwards, list).iter().rev().eq(nodes(&all, list)), "{list}");
        if !filter.is_empty() {
            let some = page(&sensu, &query, "default", by, &[filter]);
            assert_eq!(nodes(&some, list).len(), least, "{list}");
        }
    }
}

#[test]
fn suggestions_complete_what_is_typed() {
    let sensu = demo();
    let query = "query UseAutoSuggestQuery($namespace:String!,$ref:String!,$q:String,$order:SuggestionOrder,$limit:Int){suggest(namespace:$namespace,ref:$ref,q:$q,order:$order,limit:$limit){values __typename}}";
    let suggest = |reference: &str, q: &str, order: &str| {
        let variables =
            json!({"namespace": "default", "ref": reference, "q": q, "order": order, "limit": 20});
        data(&sensu, query, &variables)["suggest"]["values"].take()
    };
    assert_eq!(suggest("core/v2/check_config/metadata/name", "MEM", "ALPHA_DESC"), json!(["memory"]));
    assert_eq!(suggest("core/v2/entity/subscriptions", "", "FREQUENCY")[0], "linux");
    assert_eq!(
        suggest("core/v2/check_config/subscriptions", "", "ALPHA_DESC"),
        json!(["db", "linux", "router", "web"])
    );
    assert_eq!(suggest("core/v2/silenced/check", "", "ALPHA_DESC"), json!(["ntp"]));
    assert_eq!(suggest("core/v2/silenced/subscription", "", "ALPHA_DESC"), json!(["linux"]));
    assert_eq!(suggest("core/v2/entity/metadata/labels/role", "rou", "ALPHA_ASC"), json!(["router"]));
    assert_eq!(
        suggest("core/v2/entity/metadata/name", "-web-", "ALPHA_DESC").as_array().map(Vec::len),
        Some(1)
    );
}

/// The worst event of the demo: its id and its entity.
fn first_event(sensu: &Sensu) -> (String, String) {
    let query =
        "{namespace(name:\"default\"){events(orderBy:SEVERITY,limit:1){nodes{id entity{name} check{name}}}}}";
    let data = data(sensu, query, &json!({}));
    let event = &data["namespace"]["events"]["nodes"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&event["id"]), text(&event["entity"]["name"]))
}

#[test]
fn detail_pages_show_one_object() {
    let sensu = demo();
    let (_, entity) = first_event(&sensu);
    let meta = "metadata{labels{key val __typename} annotations{key val __typename} __typename}";
    let event = format!(
        "query EventDetails($namespace:String!,$entity:String!,$check:String!){{event(namespace:$namespace,entity:$entity,check:$check){{id namespace timestamp ...Silence
        check{{nodeId name command duration executed issued lastOK occurrences state status interval timeout ttl publish roundRobin proxyEntityName subscriptions output envVars checkHooks{{type hooks}} assets:runtimeAssets{{id name}} handlers{{name}} outputMetricFormat outputMetricHandlers{{name}} subdue{{days{{all{{begin end}}}}}} history(first:20){{status executed}} hooks{{config{{name command timeout}} duration executed status output}} {meta}}}
        entity{{name namespace entityClass lastSeen subscriptions system{{arch os platform platformFamily platformVersion hostname network{{interfaces{{name mac addresses}}}}}} related(limit:10){{id name namespace __typename}} {meta}}}}}}}"
    ) + &SILENCE.replace("check{id name}", "");
    let variables = json!({"namespace": "default", "entity": entity, "check": "cpu"});
    let shown = data(&sensu, &event, &variables);
    assert_eq!(shown["event"]["check"]["assets"], json!([]));
    assert_eq!(shown["event"]["entity"]["related"].as_array().map(Vec::len), Some(3));
    let query = format!(
        "query EntityDetails($namespace:String!,$entity:String!){{entity(namespace:$namespace,name:$entity){{id name status redact sensuAgentVersion deregistration{{handler}} {meta} events{{id isIncident timestamp check{{name status output}}}} related(limit:10){{id name}}}}}}"
    );
    let shown = data(&sensu, &query, &json!({"namespace": "default", "entity": entity}));
    assert!(shown["entity"]["events"].as_array().unwrap().len() > 3);
    assert_eq!(
        shown["entity"]["metadata"]["labels"][0],
        json!({"__typename": "KVPairString", "key": "owner", "val": "default"})
    );
    let query = format!(
        "query CheckDetails($namespace:String!,$check:String!){{check(namespace:$namespace,name:$check){{id name {meta} assets:runtimeAssets{{id name}} handlers{{name}} proxyRequests{{entityAttributes splay splayCoverage}} subdue{{days{{all{{begin end}}}}}} highFlapThreshold}} namespace(name:$namespace){{id __typename}}}}"
    );
    let shown = data(&sensu, &query, &json!({"namespace": "default", "check": "cpu"}));
    assert_eq!(shown["check"]["assets"][0]["id"], "srn:assets:default:sensu%2Fsystem-check");
    assert_eq!(shown["namespace"]["id"], "srn:namespaces:default");
    for (root, name, fields) in [
        (
            "handler",
            "everyone",
            "type timeout handlers{name namespace} mutator{name namespace} socket{host port} filters envVars",
        ),
        ("eventFilter", "state-change", "action expressions runtimeAssets{id}"),
        ("mutator", "only-output", "command timeout envVars type"),
    ] {
        let query = format!(
            "query Details($namespace:String!,$name:String!){{{root}(namespace:$namespace,name:$name){{id name {fields} {meta}}}}}"
        );
        let shown = data(&sensu, &query, &json!({"namespace": "default", "name": name}));
        assert_eq!(shown[root]["name"], name);
        let gone = data(&sensu, &query, &json!({"namespace": "default", "name": "gone"}));
        assert_eq!(gone, json!({root: null}));
    }
}

#[test]
fn actions_change_the_cluster() {
    let sensu = demo();
    let (id, entity) = first_event(&sensu);
    let resolved = data(
        &sensu,
        "mutation ResolveEvent($input:ResolveEventInput!){resolveEvent(input:$input){event{timestamp check{status output history{status}}}}}",
        &json!({"input": {"id": id, "source": "Web UI"}}),
    );
    assert_eq!(resolved["resolveEvent"]["event"]["check"]["output"], "Resolved manually with Web UI");
    let status = "query($id:ID!){node(id:$id){...on Event{isIncident isResolution check{history{status}}}}}";
    let after = data(&sensu, status, &json!({"id": id}));
    assert_eq!((&after["node"]["isIncident"], &after["node"]["isResolution"]), (&json!(false), &json!(true)));

    let published = data(
        &sensu,
        "mutation SetCheckPublish($input:UpdateCheckInput!){updateCheck(input:$input){check{publish command}}}",
        &json!({"input": {"id": "srn:checks:default:cpu", "props": {"publish": false}}}),
    );
    assert_eq!(
        published["updateCheck"]["check"],
        json!({"command": "check-cpu-usage -w 75 -c 90", "publish": false})
    );
    let executed = data(
        &sensu,
        "mutation ExecuteCheck($input:ExecuteCheckInput!){executeCheck(input:$input){errors{code input __typename}}}",
        &json!({"input": {"id": "srn:checks:default:cpu", "subscriptions": [format!("entity:{entity}")]}}),
    );
    assert_eq!(executed["executeCheck"]["errors"], json!([]));

    let delete = |field: &str, id: &str| {
        let query =
            format!("mutation Delete($input:DeleteRecordInput!){{{field}(input:$input){{deletedId}}}}");
        assert_eq!(data(&sensu, &query, &json!({"input": {"id": id}}))[field]["deletedId"], id);
    };
    delete("deleteEvent", &id);
    assert_eq!(data(&sensu, status, &json!({"id": id}))["node"], Value::Null);
    delete("deleteEntity", &format!("srn:entities:default:{entity}"));
    let query = "{namespace(name:\"default\"){events(filters:[\"entity:NAME\"]){pageInfo{totalCount}}}}";
    let left = data(&sensu, &query.replace("NAME", &entity), &json!({}));
    assert_eq!(left["namespace"]["events"]["pageInfo"]["totalCount"], 0);
}

#[test]
fn a_silence_is_made_seen_and_cleared() {
    let sensu = demo();
    let create = "mutation CreateSilence($input:CreateSilenceInput!){createSilence(input:$input){silence{id name expire expires expireOnResolve reason subscription begin}}}";
    let make =
        |input: Value| data(&sensu, create, &json!({"input": input}))["createSilence"]["silence"].take();
    let silence = make(json!({
        "namespace": "default", "check": "cpu", "subscription": "*",
        "props": {"expireOnResolve": false, "reason": "work"},
    }));
    assert_eq!(
        (&silence["id"], &silence["reason"]),
        (&json!("srn:silences:default:%2A:cpu"), &json!("work"))
    );
    let seen = "{check(namespace:\"default\",name:\"cpu\"){isSilenced silences{id check{name}}}}";
    assert_eq!(
        data(&sensu, seen, &json!({}))["check"],
        json!({"isSilenced": true, "silences": [{"check": {"name": "cpu"}, "id": silence["id"]}]})
    );
    let delete = "mutation DeleteSilence($input:DeleteRecordInput!){deleteSilence(input:$input){deletedId}}";
    data(&sensu, delete, &json!({"input": {"id": silence["id"]}}));
    assert_eq!(data(&sensu, seen, &json!({}))["check"]["isSilenced"], false);
    // One that begins later does not apply yet.
    let later = super::super::dates::format(sensu.clock().now() + 3600).unwrap();
    let silence = make(json!({"namespace": "default", "check": "cpu", "props": {"begin": later}}));
    assert_eq!(silence["begin"], later);
    assert_eq!(data(&sensu, seen, &json!({}))["check"]["isSilenced"], false);
    let both = json!({"input": {"namespace": "default", "check": "*", "subscription": "*", "props": {}}});
    let refused = ask(&sensu, create, &both);
    assert_eq!(messages(&refused), ["couldn't update silenced entry: must provide check or subscription"]);
}

#[test]
fn a_silence_without_a_check_of_its_own_cannot_name_one() {
    let sensu = demo();
    let body = json!({"metadata": {"namespace": "default"}, "subscription": "web", "expire": 60});
    sensu.apply(&Method::POST, "/api/core/v2/namespaces/default/silenced", &body);
    let query = "{node(id:\"srn:silences:default:web:%2A\"){id ...on Silenced{check{name}}}}";
    let answer = ask(&sensu, query, &json!({}));
    assert_eq!(messages(&answer), ["resource is invalid: must specify name"]);
    assert_eq!(answer["data"]["node"], json!({"check": null, "id": "srn:silences:default:web:%2A"}));
}
