//! Lists page by page: together the pages are the list.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fastrand::Rng;
use fedgate::sim::Sensu;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Line, Running, World, check, entity};

const NAMESPACES: [&str; 4] = ["default", "a", "a-b", "ops"];

/// Lists of every kind that pages in a way of its own, with the clusters that are asked.
const LISTS: [&str; 20] = [
    "checks",
    "namespaces/default/checks",
    "namespaces/a/checks?clusters=beta,alpha",
    "namespaces/a@alpha/checks",
    "checks?labelSelector=region%20%3D%3D%20eu&clusters=*",
    "handlers?clusters=local-cluster",
    "rolebindings",
    "events",
    "events?clusters=alpha",
    "namespaces/a-b/events",
    "namespaces/a/events/web",
    "entities",
    "namespaces/a/entities",
    "namespaces/a@beta/entities",
    "silenced",
    "namespaces/default/silenced",
    "namespaces/default/silenced/subscriptions/linux",
    "silenced/checks/disk",
    "namespaces",
    "users?clusters=*",
];

/// Those of clusters that are not asked by name.
const LOCAL: [&str; 4] = ["users", "clusterroles", "clusterrolebindings", "apikeys"];

// === what the clusters hold ===

fn name(random: &mut Rng) -> String {
    let stem = ["web", "web-1", "web.2", "db", "db:3", "Z"][random.usize(..6)];
    format!("{stem}{}", ["", "0", "a", "-x"][random.usize(..4)])
}

/// Creates or deletes something. What it is called ends up in `touched`.
fn change(sensu: &Sensu, random: &mut Rng, touched: &mut BTreeSet<String>) {
    let (ns, name) = (NAMESPACES[random.usize(..NAMESPACES.len())], name(random));
    touched.insert(name.clone());
    let base = format!("/api/core/v2/namespaces/{ns}");
    let (path, object) = match random.u8(..6) {
        0 => (format!("{base}/checks/{name}"), check(ns, &name)),
        1 => (
            format!("{base}/handlers/{name}"),
            json!({"type": "pipe", "command": "true", "metadata": {"name": name, "namespace": ns}}),
        ),
        2 => (format!("{base}/entities/{name}"), entity(ns, &name)),
        3 => {
            let kind = ["disk", "disk-2", "http"][random.usize(..3)];
            let mut event = json!({
                "entity": entity(ns, &name), "check": check(ns, kind), "timestamp": 1_700_000_000,
            });
            if random.bool() {
                // The cluster's own tokens go by it.
                event["metadata"]["namespace"] = NAMESPACES[random.usize(..NAMESPACES.len())].into();
            }
            (format!("{base}/events/{name}/{kind}"), event)
        }
        4 => {
            let silence = json!({
                "metadata": {"name": format!("linux{name}:disk"), "namespace": ns},
                "subscription": format!("linux{name}"), "check": "disk", "expire": 3600,
            });
            touched.insert(format!("linux{name}:disk"));
            (format!("{base}/silenced/linux{name}:disk"), silence)
        }
        _ => (format!("/api/core/v2/namespaces/{name}"), json!({"name": name})),
    };
    let method = if random.u8(..3) == 0 { Method::DELETE } else { Method::PUT };
    sensu.apply(&method, &path, &object);
    if random.u8(..8) == 0 {
        // A state without its entity makes the cluster's own pages of entities repeat items.
        sensu.etcd_put(&format!("/sensu.io/entity_states/{ns}/{name}-stray"), b"");
    }
}

fn fill(world: &World, random: &mut Rng) {
    for sensu in world.sensus() {
        for ns in NAMESPACES {
            sensu.apply(&Method::PUT, &format!("/api/core/v2/namespaces/{ns}"), &json!({"name": ns}));
        }
        for _ in 0..random.usize(..60) {
            change(sensu, random, &mut BTreeSet::new());
        }
        for user in 0..random.usize(..4) {
            let user = format!("user-{user}");
            let body = json!({"username": user, "password": "P@ssw0rd!", "groups": []});
            sensu.apply(&Method::PUT, &format!("/api/core/v2/users/{user}"), &body);
        }
    }
}

// === paging ===

fn with(target: &str, parameters: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("/api/core/v2/{target}{separator}{parameters}")
}

fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

/// All pages; `between` runs before each but the first.
async fn pages(world: &World, target: &str, limit: usize, mut between: impl FnMut()) -> Vec<Answer> {
    let mut pages = vec![world.get(&with(target, &format!("limit={limit}"))).await];
    loop {
        let last = pages.last().unwrap();
        let token = last.header("sensu-continue").to_owned();
        if token.is_empty() {
            assert!(last.headers.get("sensu-continue").is_none(), "never an empty one");
            return pages;
        }
        assert!(pages.len() < 2000, "{target} has no end");
        between();
        pages.push(world.get(&with(target, &format!("continue={token}&limit={limit}"))).await);
    }
}

#[tokio::test]
async fn the_pages_of_every_list_are_the_list_whatever_the_limit() {
    let mut random = Rng::with_seed(13);
    for round in 0..6 {
        let world = World::new();
        fill(&world, &mut random);
        for target in LISTS.iter().chain(&LOCAL) {
            let whole = items(&world.get(&format!("/api/core/v2/{target}")).await);
            for limit in [1, 2 + round, whole.len().max(1), whole.len() + 1, 1000] {
                let pages = pages(&world, target, limit, || ()).await;
                let sizes: Vec<usize> = pages.iter().map(|page| items(page).len()).collect();
                let (last, full) = sizes.split_last().unwrap();
                assert!(
                    full.iter().all(|size| *size == limit) && *last <= limit,
                    "{target} {limit}: {sizes:?}"
                );
                let joined: Vec<Value> = pages.iter().flat_map(items).collect();
                assert_eq!(joined, whole, "{target} by {limit}");
                assert!(pages.iter().all(|page| page.header("fedgate-complete") != "false"));
            }
        }
        world.nothing_is_held();
    }
}

/// What identifies an item to its user.
fn identity(item: &Value) -> String {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    [
        "/cluster",
        "/metadata/namespace",
        "/metadata/name",
        "/name",
        "/username",
        "/entity/metadata/namespace",
        "/entity/metadata/name",
        "/check/metadata/name",
    ]
    .map(text)
    .join("|")
}

#[tokio::test]
async fn what_is_there_all_the_time_comes_once_while_others_come_and_go() {
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let world = World::new();
        fill(&world, &mut random);
        let target = LISTS[random.usize(..LISTS.len())];
        let limit = random.usize(1..6);
        let before = items(&world.get(&format!("/api/core/v2/{target}")).await);
        let mut touched = BTreeSet::new();
        let pages = pages(&world, target, limit, || {
            for _ in 0..random.usize(..4) {
                let sensu = world.sensus()[random.usize(..3)].clone();
                change(&sensu, &mut random, &mut touched);
            }
        })
        .await;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for item in pages.iter().flat_map(items) {
            *seen.entry(identity(&item)).or_default() += 1;
        }
        assert!(seen.values().all(|times| *times == 1), "seed {seed}, {target}: {seen:?}");
        let is_touched = |id: &str| {
            id.split('|').any(|part| {
                touched.contains(part) || touched.iter().any(|name| part.split('@').next() == Some(name))
            })
        };
        for id in before.iter().map(identity).filter(|id| !is_touched(id)) {
            assert!(seen.contains_key(&id), "seed {seed}, {target} by {limit}: {id} was lost");
        }
    }
}

#[tokio::test]
async fn members_fail_are_removed_and_registered_between_pages_and_the_others_keep_theirs() {
    const SETS: [&[&str]; 4] = [
        &["local-cluster", "alpha", "beta"],
        &["local-cluster", "beta"],
        &["local-cluster", "alpha"],
        &["local-cluster"],
    ];
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let world = World::new();
        fill(&world, &mut random);
        let all: Vec<&str> = LISTS.into_iter().filter(|target| !target.contains(['=', '@'])).collect();
        let target = if seed % 5 == 0 {
            "checks?clusters=beta,alpha,local-cluster"
        } else {
            all[random.usize(..all.len())]
        };
        let limit = random.usize(1..6);
        let before = items(&world.get(&format!("/api/core/v2/{target}")).await);
        let mut absent: BTreeSet<&str> = BTreeSet::new();
        let pages = pages(&world, target, limit, || {
            let set = SETS[random.usize(..SETS.len())];
            world.register(set);
            absent.extend(["alpha", "beta"].iter().filter(|name| !set.contains(name)));
            for sensu in [&world.alpha, &world.beta] {
                let broken = random.u8(..6) == 0;
                sensu.faults().set_body(broken.then(|| Bytes::from_static(b"<html>")));
            }
        })
        .await;
        let failed: BTreeSet<&str> = ["alpha", "beta"]
            .into_iter()
            .filter(|name| {
                pages.iter().any(|p| p.header("fedgate-clusters").contains(&format!("\"{name}\";error=")))
            })
            .collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for item in pages.iter().flat_map(items) {
            *seen.entry(identity(&item)).or_default() += 1;
        }
        assert!(seen.values().all(|times| *times == 1), "seed {seed}, {target}: {seen:?}");
        for item in &before {
            let cluster = item["cluster"].as_str().unwrap();
            if !failed.contains(cluster) && !absent.contains(cluster) {
                assert!(seen.contains_key(&identity(item)), "seed {seed}, {target}: {item} was lost");
            }
        }
        for page in &pages {
            let reported = page.header("fedgate-clusters").contains("error=");
            assert_eq!(page.header("fedgate-complete"), if reported { "false" } else { "true" });
        }
    }
}

async fn three_checks_each(world: &World) {
    for sensu in world.sensus() {
        for name in ["one", "two", "three"] {
            world.put_check(sensu, name).await;
        }
    }
}

#[tokio::test]
async fn a_page_is_filled_across_a_cluster_border_and_names_those_it_asked() {
    let world = World::new();
    three_checks_each(&world).await;
    let pages = pages(&world, "checks", 4, || ()).await;
    let asked: Vec<&str> = pages.iter().map(|page| page.header("fedgate-clusters")).collect();
    assert_eq!(
        asked,
        [
            r#""local-cluster";status=200, "alpha";status=200"#,
            r#""alpha";status=200, "beta";status=200"#,
            r#""beta";status=200"#
        ]
    );
    assert_eq!(pages[1].each("/cluster"), ["alpha", "alpha", "beta", "beta"]);
    assert_eq!(pages[1].each("/metadata/namespace")[0], "default@alpha");
}

#[tokio::test]
async fn a_page_that_has_only_failed_members_left_is_empty_and_says_so() {
    let world = World::new();
    three_checks_each(&world).await;
    let first = world.get("/api/core/v2/checks?limit=6").await;
    let token = first.header("sensu-continue").to_owned();
    world.net.set("beta", Line::Refused);
    let last = world.get(&format!("/api/core/v2/checks?limit=6&continue={token}")).await;
    last.is(200, "[]");
    assert_eq!(last.header("fedgate-complete"), "false");
    assert_eq!(last.header("fedgate-clusters"), r#""beta";error=unreachable"#);
    let strict = world.get(&format!("/api/core/v2/checks?limit=6&partial=false&continue={token}")).await;
    assert_eq!(strict.status, 502);
    assert_eq!(strict.header("sensu-continue"), "");
    world.net.set("local-cluster", Line::Refused);
    world.net.set("alpha", Line::Refused);
    let none = World::new();
    for name in ["local-cluster", "alpha", "beta"] {
        none.net.set(name, Line::Refused);
    }
    assert_eq!(none.get("/api/core/v2/checks?limit=6").await.status, 502, "a first page without any answer");
}

#[tokio::test]
async fn a_token_works_for_its_list_and_selection_alone() {
    let world = World::new();
    three_checks_each(&world).await;
    let list = "/api/core/v2/namespaces/default/checks";
    let first = world.get(&format!("{list}?limit=2&clusters=beta,alpha")).await;
    let token = first.header("sensu-continue").to_owned();
    // Whatever its order and spelling, and with another limit, it is the same selection.
    for query in
        ["limit=9&clusters=alpha,beta", "cl%75sters=alpha&clusters=beta", "limit=0&clusters=beta%2Calpha"]
    {
        let page = world.get(&format!("{list}?{query}&continue={token}")).await;
        assert_eq!(page.each("/cluster"), ["alpha", "beta", "beta", "beta"], "{query}");
    }
    world.forget();
    let upstream = "b25lAA";
    let cut = &token[..token.len() - 1];
    let changed = format!("{}{}", if token.starts_with('A') { 'B' } else { 'A' }, &token[1..]);
    for target in [
        format!("{list}?clusters=alpha&continue={token}"),
        format!("{list}?continue={token}"),
        format!("{list}?clusters=*&continue={token}"),
        format!("{list}?clusters=alpha,beta&fieldSelector=x&continue={token}"),
        format!("/api/core/v2/namespaces/a/checks?clusters=alpha,beta&continue={token}"),
        format!("/api/core/v2/namespaces/default@alpha/checks?continue={token}"),
        format!("/api/core/v2/namespaces/default/handlers?clusters=alpha,beta&continue={token}"),
        format!("/api/core/v2/checks?clusters=alpha,beta&continue={token}"),
        format!("/api/core/v2/users?continue={token}"),
        format!("/api/core/v2/namespaces?continue={token}"),
        format!("{list}?clusters=alpha,beta&continue={cut}"),
        format!("{list}?clusters=alpha,beta&continue={changed}"),
        format!("{list}?clusters=alpha,beta&limit=2&continue={token}%3D"),
        format!("{list}?clusters=alpha,beta&continue={token}A"),
        format!("{list}?continue={upstream}"),
        format!("/api/core/v2/namespaces/default@alpha/checks?continue={upstream}"),
        format!("/api/core/v2/clusterroles?continue={upstream}"),
        format!("/api/core/v2/silenced?continue={upstream}"),
        format!("{list}?continue=!!!"),
        format!("{list}?continue=%FF"),
    ] {
        let answer = world.get(&target).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{target}");
    }
    world.nothing_was_forwarded("tokens");
}

#[tokio::test]
async fn a_clients_token_reaches_a_cluster_on_raw_paths_only() {
    let world = World::new();
    for target in [
        "/api/core/v2/namespaces/default/checks/x?continue=b25lAA&a=b",
        "/api/core/v2/namespaces/default@alpha/checks/x?a=b&c%6fntinue=b25lAA",
        "/api/core/v2/cluster/members?continue=b25lAA&a=b",
        "/api/core/v2/namespaces/default@alpha?continue=b25lAA&a=b",
        "/api/enterprise/x/v1/y?continue=b25lAA&a=b",
    ] {
        world.forget();
        world.get(target).await;
        let asked: Vec<_> = world.requests().into_iter().map(|r| r.path_and_query).collect();
        assert!(asked.len() == 1 && asked[0].ends_with("?a=b"), "{target}: {asked:?}");
    }
    world.forget();
    world.get("/c/alpha/api/core/v2/checks?limit=1&continue=b25lAA").await;
    assert_eq!(world.requests()[0].path_and_query, "/api/core/v2/checks?limit=1&continue=b25lAA");
}

#[tokio::test]
async fn a_limit_is_digits() {
    let world = World::new();
    for list in ["checks", "users", "namespaces", "namespaces/default@alpha/entities"] {
        for limit in [
            "%2B1",
            "+1",
            "%201",
            "1%20",
            "1.0",
            "0x1",
            "",
            "-1",
            "-0",
            "1e3",
            "%D9%A1",
            "18446744073709551616",
        ] {
            let answer = world.get(&format!("/api/core/v2/{list}?limit={limit}")).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{list} {limit}");
        }
    }
    world.nothing_was_forwarded("limits");
    three_checks_each(&world).await;
    for (limit, size) in
        [("0", 9), ("00", 9), ("007", 7), ("%31", 1), ("2&limit=1", 2), ("18446744073709551615", 9)]
    {
        let answer = world.get(&format!("/api/core/v2/checks?limit={limit}")).await;
        assert_eq!(items(&answer).len(), size, "{limit}");
    }
    // A page of the web UI has a query of its own.
    assert_ne!(world.get("/n/default/events?limit=-1").await.status, 400);
}

#[tokio::test]
async fn pages_of_the_local_clusters_own_lists_are_its_bytes() {
    let world = World::new();
    for target in LOCAL {
        let whole = world.direct(&world.local, &format!("/api/core/v2/{target}")).await;
        let page = world.get(&format!("/api/core/v2/{target}?limit=1000")).await;
        assert_eq!(page.text(), whole.text(), "{target}");
    }
}

#[tokio::test]
async fn a_users_namespaces_are_paged_by_what_the_user_sees() {
    let world = World::new();
    for sensu in world.sensus() {
        for ns in NAMESPACES {
            world.put(sensu, &format!("/api/core/v2/namespaces/{ns}"), &json!({"name": ns})).await;
        }
        let role = json!({"rules": [{"verbs": ["get"], "resources": ["checks"]}], "metadata": {"name": "r", "namespace": "ops"}});
        world.put(sensu, "/api/core/v2/namespaces/ops/roles/r", &role).await;
        let binding = json!({
            "subjects": [{"type": "User", "name": "ann"}], "role_ref": {"type": "Role", "name": "r"},
            "metadata": {"name": "r", "namespace": "ops"},
        });
        world.put(sensu, "/api/core/v2/namespaces/ops/rolebindings/r", &binding).await;
    }
    let mut names = Vec::new();
    let mut query = String::from("limit=1");
    for _ in 0..3 {
        let mut request = world.request(Method::GET, &format!("/api/core/v2/namespaces?{query}"), "");
        let token = format!("Bearer {}", world.token("ann", &["system:users"]));
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let page = world.send(request).await;
        names.extend(page.each("/name"));
        query = format!("limit=1&continue={}", page.header("sensu-continue"));
    }
    assert_eq!(names, ["ops", "ops@alpha", "ops@beta"]);
}

#[tokio::test]
async fn names_of_any_length_are_paged_or_the_page_before_says_why_not() {
    let server = Running::start().await;
    let list = "/api/core/v2/namespaces/default/checks";
    let put = |name: &str| {
        let status = server.sensu.apply(&Method::PUT, &format!("{list}/{name}"), &check("default", name));
        assert!(status.is_success(), "{status}");
    };
    // The names by pages of one, until the answer that is no page.
    let walk = async || {
        let (mut found, mut target) = (Vec::new(), format!("{list}?limit=1"));
        loop {
            let (status, headers, body) = server.send(server.request(&target)).await;
            let page: Value = serde_json::from_slice(&body).unwrap();
            if status != 200 {
                return (found, Some((status, page["message"].as_str().unwrap().to_owned())));
            }
            found.push(page[0]["metadata"]["name"].as_str().unwrap().to_owned());
            let Some(token) = headers.get("sensu-continue") else { return (found, None) };
            target = format!("{list}?limit=1&continue={}", token.to_str().unwrap());
        }
    };
    let long = |length: usize| format!("{length:05}{}", "x".repeat(length));
    let names = [long(1), long(3_000), long(7_000), long(24_000), "z".to_owned()];
    for name in &names {
        put(name);
    }
    assert_eq!(walk().await, (names.to_vec(), None));

    put(&long(26_000));
    let (found, refusal) = walk().await;
    assert_eq!(found, names[..4]);
    let (status, message) = refusal.unwrap();
    assert_eq!(status, 400);
    assert!(message.contains("too long for a continue parameter of 32768 bytes"), "{message}");
    let (_, _, whole) = server.send(server.request(list)).await;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&whole).unwrap().len(), 6, "as the message advises");
}
