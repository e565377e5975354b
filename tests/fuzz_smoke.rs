//! Every fuzz entry over some thousand inputs, the same in every run: no search, only a proof that the entries work
//! and that the obvious holds.

use std::{collections::BTreeSet, fs, path::Path};

use fastrand::Rng;
use fedgate::{
    auth, authz, config, corev2, fanout, graphql, listener, registry, replication, rewrite, routing, wire,
};

/// An input is a seed that was changed in a few places, or random.
const SEED: u64 = 6_120;

const ROUNDS: usize = 4_000;

const TARGETS: &[&str] = &[
    "/api/core/v2/namespaces/default@alpha/checks/disk?limit=1&continue=abc",
    "/api/core/v2/namespaces/default%40alpha/assets/a%2Fb",
    "/api/core/v2/namespaces/ops@local-cluster",
    "/c/alpha/api/core/v2/namespaces/default/entities/x?a=b",
    "/c/~/auth/token",
    "/api/core/v2/users?%6cimit=-1&clusters=*",
    "/api/enterprise/federation/v1/clusters",
    "/api/core/v2/namespaces/..%2f..%2f/%2e%2e//",
];

const JSON: &[&str] = &[
    r#"[{"metadata":{"name":"a","namespace":"default","labels":{"namespace":"x"}},"n":1.0e3},{"a":[]}]"#,
    r#"{"cluster":"alpha","metadata":{"namespace":"default@alpha","name":"a"},"spec":{"metadata":{"namespace":"b"}}}"#,
    r#"{"entity":{"metadata":{"namespace":"default@alpha"}},"check":{"Metadata":{"NAMESPACE":"x@alpha"}}}"#,
    r#"[ {"name":"ops@alpha"} , {"name":"\u0061\ud83d\ude00"} ]"#,
    r#"{"name":"ops@alpha","spec":{"name":"ops@alpha"},"metadata":{"name":"ops@alpha"}}"#,
    "null",
];

const REQUESTS: &[&str] = &[
    "GET /a?b>c&\"d\" HTTP/1.1\r\nHost: a\r\n\r\nGET /?<# HTTP/1.1\r\n\r\n",
    "POST /?> HTTP/1.1\r\nContent-Length: 4\r\n\r\n?<> GET /?> HTTP/1.1\r\n\r\n",
    "PUT /?> HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n?<>\r\n0\r\nA: ?>\r\n\r\nGET /?> HTTP/1.1\r\n\r\n",
];

const PROXY_HEADERS: &[&str] = &[
    "PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\nGET / HTTP/1.1\r\n",
    "PROXY TCP6 2001:db8::7 ::1 40000 443\r\n",
    "PROXY UNKNOWN whatever\r\n",
    "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\0\u{c}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}\u{a}\u{b}\u{c}",
    "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0GET /",
];

const AUTHORIZATION: &[&str] = &[
    "Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjF9.c2ln",
    "Key 83abef1e-e7d7-4beb-91fc-79ad90084d5b",
    "Basic YTpi",
];

const CLAIMS: &[&str] = &[
    r#"{"exp":1700000300,"sub":"admin","groups":["a","b"],"iss":"https://gw","nbf":1,"iat":1.5}"#,
    r#"{"exp":17000003000000000000,"sub":null,"groups":null,"provider":{"provider_id":"basic"}}"#,
];

const RBAC: &[&str] = &[
    "\n\u{15}\n\u{5}Group\u{12}\u{c}system:users\u{12}\u{1a}\n\u{b}ClusterRole\u{12}\u{b}system:user\"\r\n\u{b}system:user",
    "\n\u{1c}\n\u{3}get\n\u{6}update\u{12}\rlocalselfuser\u{1a}\r\n\u{b}system:user",
    r#"{"Subjects":[{"type":"User","name":"ann"}],"role_ref":{"type":"ClusterRole","name":"all"},"metadata":{}}"#,
    r#"{"rules":[{"verbs":["*"],"resources":["*"],"Resource_Names":null}],"metadata":{"labels":{"a":"b"}}}"#,
];

const KEYS: &[&str] = &[
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
];

const PAGING: &[&str] =
    &["AUGThSfMvOMDR4vqfoSXzO0p7CiMpjU2C3JV4Oyjf2KiYWxwaGE", "YWxwaGEA", "alpha/default/disk"];

const POSITIONS: &[&str] = &["alpha\0tb25lAA", "local-cluster\0kdefault/disk", "beta\0e", "beta\0n"];

const LISTS: &[&str] = &[
    r#"[{"name":"a"},{"name":"b","x":"]}\"{"},{"name":"c"},{"name":"d","y":[[{}]]}]"#,
    r#" [ {"metadata":{"name":"b","namespace":"a-b"}} , {"metadata":{"name":"b","namespace":"a"},"n":1e3},{"metadata":null}]"#,
];

const DOCUMENTS: &[&str] = &[
    "query Q($n: String! = \"a@alpha\", $s: Boolean) {\n  a: namespace(name: $n) @skip(if: $s) { ...F cluster }\n  check(namespace: \"x@beta\") { id }\n}\nfragment F on Namespace { id name checks { toJSON } }",
    "{ node(id: \"srn:checks:a@alpha:b\") { ... on Namespace { x: name } ... on Check { x: namespace } } # comment\n viewer { namespaces { name } } }",
    "mutation($i: Input) { a: put(input: { id: \"srn:checks:a@b:c\", more: $i }) { id } b: put(raw: \"\"\"{\"metadata\": {\"namespace\": \"a@b\"}}\"\"\") { id } }",
    "{...R}fragment R on Query{namespace(name:\"\"\"\n  a@b\n\"\"\"){...S}...R2}fragment R2 on Query{__typename}fragment S on Namespace{...on Node{id}}",
];

const BODIES: &[&str] = &[
    r#"{"query":"query($n:String){namespace(name:$n){id}}","variables":{"n":"default@alpha","m":1.0e5},"operationName":"x"}"#,
    r#"[{"query":"mutation($i:Input){put(input:$i){id}}","variables":{"i":{"id":"srn:checks:a@b:c","more":{"id":"x"}}}},{},1]"#,
    r#"{"query":"{a:namespace(name:\"x@alpha\"){name} b:check(namespace:\"y\"){id} viewer{namespaces{id}}}","skip_validation":true}"#,
];

const ANSWERS: &[&str] = &[
    r#"{"auth":true,"data":{"node":{"A":"Namespace","id":"srn:namespaces:a","cluster":"Namespace","x":"a"}},"errors":null}"#,
    r#"{"data":{"node":{"A":"Check","id":"srn:checks:a:b","toJSON":{"type":"Event","metadata":{"namespace":"a"},"spec":{"entity":{"metadata":{"namespace":"a"}}}},"x":"a"}}}"#,
    r#"{"data":null,"errors":[{"message":"m","locations":[{"line":1,"column":2}],"path":["node"]},{"extensions":{"a":1}},{"extensions":{}}]}"#,
];

const IDS: &[&str] = &[
    "srn:checks:default@alpha:disk",
    "srn:namespaces:default%40alpha?x=1",
    "srn:silences:default:linux:%2A",
    "srn:clusterroles:system:user",
    "srn:events:a@b@c:check/x",
];

/// A place in a request, and the pieces of a name.
const NAMES: &[&str] = &["\u{0}\u{11}\u{4}", "\u{1}\u{19}\u{4}", "\u{2}\u{5}\u{1}", "\u{4}\u{f}\u{d}\u{2}"];

const FILES: &[&str] = &[
    "listen: {address: '127.0.0.1:8080', keep-alive: 75s}\nlimits:\n  head-bytes: 64KiB\n  login-failures: 10/min\n",
    "fan-out: {default-scope: local, member-timeout: 1500ms, buffer-bytes: 1MiB}\nlog: {format: text}\n",
    "clusters:\n  - name: alpha\n    api-urls: ['http://a:8080', \"https://[::1]:8080\"]\n    cert-file: &x /c.pem\n    key-file: *x\n",
    "store: {etcd: {endpoints: [https://10.0.0.1:2379], prefix: /fedgate/}}\nlistne: {}\n",
];

const VARIABLES: &[&str] = &[
    "LISTEN__ADDRESS=[::]:8080",
    "AUTH__JWT_PUBLIC_KEY_FILES=/a.pem, /b.pem",
    "UPSTREAM__HEALTH__INTERVAL=5s",
    "CLUSTERS=[{name: alpha, api-urls: [https://a:8080]}]",
    "LIMITS__HEADERS=0x64",
    "LISTEN_ADDRESS=x",
];

const KEYS_IN_ETCD: &[&str] = &[
    "rbac/rolebindings/default/ops",
    "namespaces/default",
    "users/admin",
    "checks/default/disk",
    "silenced/a/b:c",
    "assets/default/sensu/sensu-cpu-check",
    "assets/default/a/../b",
];

const VALUES_IN_ETCD: &[&str] = &[
    "rbac/clusterrolebindings/system:user\0\n\u{15}\n\u{5}Group\u{12}\u{c}system:users\u{12}\u{1a}\n\u{b}ClusterRole\u{12}\u{b}system:user\"\r\n\u{b}system:user",
    "rbac/roles/default/a\0{\"rules\":[{\"verbs\":[\"*\"],\"Resources\":[\"*\"]}],\"metadata\":{\"name\":\"a\",\"namespace\":\"default\",\"labels\":{\"b\":\"c\"}}}",
    "namespaces/default\0\n\u{7}default",
    "assets/a/b/c\0B\u{9}\n\u{4}b//c\u{12}\u{1}a",
    "users/ann\0{\"username\":\"ann\",\"groups\":[\"ops\"],\"disabled\":true}",
];

const RESOURCES: &[&str] = &[
    r#"{"type":"Cluster","api_version":"federation/v1","metadata":{"name":"alpha","labels":{"a":"b"}},"spec":{"api_urls":["https://a:8080","http://[::1]:80"],"ca_cert":"/ca.pem","insecure":null}}"#,
    r#"{"type":"EtcdReplicator","api_version":"federation/v1","metadata":{"name":"r:1","created_by":"ann"},"spec":{"url":"http://a:2379, http://b:2379","resource":"Role","namespace":"default","replication_interval_seconds":3e1}}"#,
];

const FENCES: &[&str] =
    &[r#"{"place":"00ff","store":"a","term":7,"gateway":"gw-1"}"#, "rbac/roles/default/a"];

/// Calls the entry with changed seeds, prefixed by a random byte where the entry takes its settings from the first.
fn run(name: &str, seeds: &[&str], prefixed: bool, entry: fn(&[u8])) {
    run_rounds(ROUNDS, name, seeds, prefixed, entry);
}

fn run_rounds(rounds: usize, name: &str, seeds: &[&str], prefixed: bool, entry: fn(&[u8])) {
    println!("{name}: seed {SEED}, {rounds} inputs");
    let mut random = Rng::with_seed(SEED);
    for round in 0..rounds {
        let mut input = if round % 8 == 0 { noise(&mut random) } else { mutated(&mut random, seeds) };
        if prefixed {
            input.insert(0, random.u8(..));
        }
        entry(&input);
    }
}

fn noise(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(..200);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn mutated(random: &mut Rng, seeds: &[&str]) -> Vec<u8> {
    const INTERESTING: &[u8] = b"{}[]\",:\\@%/.?&=0129-eE+ \n\x00\x1f\x7f\x80\xff";
    let mut input = seeds[random.usize(..seeds.len())].as_bytes().to_vec();
    for _ in 0..random.usize(..5) {
        let at = random.usize(..=input.len());
        match random.u8(..5) {
            0 => input.insert(at, INTERESTING[random.usize(..INTERESTING.len())]),
            1 if at < input.len() => input[at] = INTERESTING[random.usize(..INTERESTING.len())],
            2 if at < input.len() => drop(input.remove(at)),
            3 => input.truncate(at),
            _ => {
                let other = seeds[random.usize(..seeds.len())].as_bytes();
                let tail = &other[random.usize(..=other.len())..];
                input.splice(at..at, tail.iter().copied());
            }
        }
    }
    input
}

#[test]
fn routing_is_total_and_stable() {
    run("route_is_total_and_stable", TARGETS, false, routing::fuzzing::route_is_total_and_stable);
}

#[test]
fn only_queries_change_on_their_way_to_hyper() {
    run("queries", REQUESTS, false, listener::fuzzing::queries);
}

#[test]
fn proxy_headers_mean_one_thing() {
    run("proxy_header", PROXY_HEADERS, false, listener::fuzzing::proxy_header);
}

#[test]
fn rewriting_holds_its_properties() {
    run("fuzz_rewriter", JSON, true, rewrite::fuzzing::fuzz_rewriter);
    run("fuzz_validate", JSON, false, rewrite::fuzzing::fuzz_validate);
    run("fuzz_unqualify", JSON, false, rewrite::fuzzing::fuzz_unqualify);
}

#[test]
fn credentials_and_keys_never_panic() {
    run("authorization", AUTHORIZATION, false, auth::fuzzing::authorization);
    run("token", AUTHORIZATION, false, |data| {
        auth::fuzzing::token(data.strip_prefix(b"Bearer ").unwrap_or(data));
    });
    run("claims", CLAIMS, false, auth::fuzzing::claims);
    run("api_key", AUTHORIZATION, false, authz::fuzzing::api_key);
    run("key_file", KEYS, false, auth::fuzzing::key_file);
}

#[test]
fn tokens_for_paging_cannot_be_made_up() {
    run("tokens", PAGING, false, wire::fuzzing::tokens);
}

#[test]
fn pages_are_cut_without_loss() {
    run("positions", POSITIONS, false, fanout::fuzzing::positions);
    run("pages", JSON, true, fanout::fuzzing::pages);
    run("pages", LISTS, true, fanout::fuzzing::pages);
}

#[test]
fn stored_rules_grant_nothing_by_accident() {
    run("stored_value", RBAC, false, authz::fuzzing::stored_value);
}

#[test]
fn graphql_holds_its_properties() {
    run("fuzz_document", DOCUMENTS, false, graphql::fuzzing::fuzz_document);
    run("fuzz_request", BODIES, false, graphql::fuzzing::fuzz_request);
    run("fuzz_answer", ANSWERS, true, graphql::fuzzing::fuzz_answer);
    run("fuzz_id", IDS, false, graphql::fuzzing::fuzz_id);
    run("fuzz_names", NAMES, false, graphql::fuzzing::fuzz_names);
}

#[test]
fn configurations_are_read_as_they_are_written() {
    // Comparing misspelt names takes its time without optimization.
    run_rounds(ROUNDS / 10, "file", FILES, false, config::fuzzing::file);
    run_rounds(ROUNDS / 10, "variable", VARIABLES, false, config::fuzzing::variable);
}

#[test]
fn what_is_stored_is_read_in_one_way_only() {
    run("key", KEYS_IN_ETCD, false, corev2::fuzzing::key);
    run("value", VALUES_IN_ETCD, false, corev2::fuzzing::value);
    run("resource", RESOURCES, false, registry::fuzzing::resource);
    run("records", FENCES, false, replication::fuzzing::records);
}

/// `module::entry` for every entry that a text calls.
fn called(text: &str) -> BTreeSet<String> {
    let calls = text.match_indices("::fuzzing::").map(|(at, separator)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (before, after) = (&text[..at], &text[at + separator.len()..]);
        let module = &before[before.rfind(|c| !is_name(c)).map_or(0, |end| end + 1)..];
        let entry = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
        (!module.is_empty()).then(|| format!("{module}::{entry}"))
    });
    calls.flatten().collect()
}

#[test]
fn every_entry_has_a_fuzz_target_and_a_smoke_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut entries = BTreeSet::new();
    for module in fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = fs::read_to_string(module.join("fuzzing.rs")) else { continue };
        let module = module.file_name().unwrap().to_str().unwrap();
        let public = text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('));
        entries.extend(public.map(|(entry, _)| format!("{module}::{entry}")));
    }
    assert_eq!(called(include_str!("fuzz_smoke.rs")), entries, "what is run here");

    let manifest = include_str!("fuzz/Cargo.toml");
    let mut targets = BTreeSet::new();
    for target in fs::read_dir(root.join("tests/fuzz/targets")).unwrap().map(|entry| entry.unwrap().path()) {
        targets.extend(called(&fs::read_to_string(&target).unwrap()));
        let name = target.file_stem().unwrap().to_str().unwrap();
        let declared = format!("name = \"{name}\"\npath = \"targets/{name}.rs\"\n");
        assert!(manifest.contains(&declared), "tests/fuzz/Cargo.toml has no target {name}");
    }
    assert_eq!(targets, entries, "what tests/fuzz runs");
}
