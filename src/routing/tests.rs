use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;
use crate::types::{Cluster, Source, TlsFiles};

fn clusters() -> Snapshot {
    Snapshot::new(["beta", "local-cluster", "alpha"].map(|name| Cluster {
        name: name.parse().unwrap(),
        backends: Vec::new(),
        tls: TlsFiles::default(),
        source: Source::Config,
    }))
}

fn go(method: &str, target: &str) -> Result<Route, RouteError> {
    route(&method.parse().unwrap(), target, &clusters(), ListScope::All).route
}

fn forward(method: &str, target: &str) -> Forward {
    match go(method, target) {
        Ok(Route::Forward(forward)) => forward,
        other => panic!("{method} {target}: {other:?}"),
    }
}

fn list(target: &str) -> List {
    match go("GET", target) {
        Ok(Route::List(list)) => list,
        other => panic!("{target}: {other:?}"),
    }
}

fn members(list: &List) -> Vec<&str> {
    list.members.iter().map(ClusterName::as_str).collect()
}

#[test]
fn prefix_routes_strip_the_prefix_and_nothing_else() {
    for (target, cluster, upstream) in [
        (
            "/c/alpha/api/core/v2/namespaces/default/checks?limit=5",
            "alpha",
            "/api/core/v2/namespaces/default/checks?limit=5",
        ),
        ("/c/~/auth", "local-cluster", "/auth"),
        ("/c/beta/graphql", "beta", "/graphql"),
        (
            "/c/alpha/api/core/v2/namespaces/d%65fault/assets/a%2Fb",
            "alpha",
            "/api/core/v2/namespaces/d%65fault/assets/a%2Fb",
        ),
    ] {
        let forward = forward("GET", target);
        assert_eq!((forward.cluster.as_str(), &*forward.target), (cluster, upstream));
        assert_eq!(forward.qualify, None);
        assert!(forward.prefix.is_some());
    }
    assert_eq!(go("GET", "/c/nope/api"), Err(RouteError::NotRegistered { cluster: "nope".into() }));
    assert_eq!(go("POST", "/n/default"), Ok(Route::Web));
}

#[test]
fn qualified_namespaces_go_to_their_cluster_without_the_suffix() {
    for target in [
        "/api/core/v2/namespaces/default@alpha/checks/cpu?x=1",
        "/api/core/v2/namespaces/default%40alpha/checks/cpu?x=1",
    ] {
        let forward = forward("GET", target);
        assert_eq!(forward.cluster.as_str(), "alpha");
        assert_eq!(forward.target, "/api/core/v2/namespaces/default/checks/cpu?x=1");
        assert_eq!(forward.qualify, Some(Shape::Resource));
    }
    let same = forward("PUT", "/api/core/v2/namespaces/default@local-cluster/checks/cpu");
    assert_eq!((same.cluster.is_local(), same.qualify), (true, None));
    assert_eq!(same.target, "/api/core/v2/namespaces/default/checks/cpu");
    assert_eq!(
        go("GET", "/api/core/v2/namespaces/default@nope/checks/cpu"),
        Err(RouteError::NotRegistered { cluster: "nope".into() })
    );
}

#[test]
fn namespace_objects_route_by_their_own_name() {
    let one = forward("PUT", "/api/core/v2/namespaces/ops@beta");
    assert_eq!((one.cluster.as_str(), &*one.target), ("beta", "/api/core/v2/namespaces/ops"));
    assert_eq!(one.qualify, Some(Shape::Namespace));
    assert_eq!(forward("POST", "/api/core/v2/namespaces").body, BodyRule::ChoosesCluster);
}

#[test]
fn malformed_namespaces_are_refused() {
    for ns in ["@x", "x@", "a@b@c", "%40x", "x%40", "a@b%40c"] {
        let target = format!("/api/core/v2/namespaces/{ns}/checks");
        assert_eq!(go("GET", &target), Err(RouteError::Namespace), "{ns}");
    }
}

#[test]
fn traversal_in_any_spelling_is_refused() {
    for path in [
        "/api/core/v2/namespaces/../users",
        "/api/core/v2/namespaces/%2e%2E/users",
        "/api/core/v2/namespaces/a/checks/..%2Fb%2Fsecret",
        "/api/core/v2/namespaces/..%2Fchecks%2Fa%2Fb",
        "/api/core/v2/namespaces/a/checks/%2fx",
        "/api/core/v2/namespaces/a/assets/..%2Fb",
        "/api/core/v2/namespaces/a/assets/b%2F..%2Fc",
        "/api/core/v2/namespaces/a/assets/b%2F",
        "/api/core/v2//users",
        "/api//core/v2/users",
        "//api//core/v2/users",
        "/c//alpha/auth",
        "/c/alpha//auth//token",
        "/auth//token",
        "/api/./core",
        "/c/alpha/api/core/v2/namespaces/..%2Fx",
        "/c/../api",
        "/api/core/v2/namespaces/a/checks/x%00",
        "/api/core/v2/namespaces/a/checks/%zz",
        "/api/core/v2/namespaces/a/checks/%ff",
        "/c/alpha/api/core/v2/namespaces/a/%65ntities/x|",
        "/api/core/v2/%6eamespaces/a/entities/x^",
        "/api/core/v2/namespaces/a/entities/x{",
        "/api/core/v2/namespaces/a/entities/\u{e4}",
    ] {
        assert_eq!(go("GET", path), Err(RouteError::Path), "{path}");
    }
    assert!(go("GET", "/api/core/v2/namespaces/a/assets/sensu%2Fcheck-cpu").is_ok());
    assert_eq!(go("TRACE", "/"), Err(RouteError::Method));
}

#[test]
fn list_forms_fan_out_to_every_cluster_with_the_local_one_first() {
    for target in [
        "/api/core/v2/namespaces/default/events",
        "/api/core/v2/namespaces/default/events/web-1",
        "/api/core/v2/namespaces/default/silenced/subscriptions/entity:web-1",
        "/api/core/v2/namespaces/default/silenced/checks/cpu",
        "/api/core/v2/silenced/checks/cpu",
        "/api/core/v2/entities",
        "/api/core/v2/namespaces",
    ] {
        let list = list(target);
        assert_eq!(members(&list), ["local-cluster", "alpha", "beta"], "{target}");
        assert_eq!(list.target, target);
    }
    assert_eq!(list("/api/core/v2/namespaces").shape, Shape::Namespace);
}

#[test]
fn cluster_wide_lists_stay_local_until_asked_for_more() {
    for kind in CLUSTER_WIDE_KINDS {
        let target = format!("/api/core/v2/{kind}");
        assert!(forward("GET", &target).cluster.is_local());
        let asked = list(&format!("{target}?clusters=*"));
        assert_eq!(asked.members.len(), 3);
    }
}

#[test]
fn the_backends_faulty_pages_are_cut_by_key() {
    for (target, paging) in [
        ("namespaces", Paging::ByKey),
        ("entities", Paging::ByKey),
        ("namespaces/default@alpha/entities", Paging::ByKey),
        ("silenced", Paging::ByKey),
        ("silenced/checks/x", Paging::ByKey),
        ("namespaces/default/silenced/subscriptions/x", Paging::ByKey),
        ("events", Paging::EventsByCluster),
        ("namespaces/default/events/x", Paging::ByCluster),
        ("namespaces/default/events/entities", Paging::ByCluster),
        ("namespaces/entities/checks", Paging::ByCluster),
        ("users?limit=1", Paging::ByCluster),
    ] {
        assert_eq!(list(&format!("/api/core/v2/{target}")).paging, paging, "{target}");
    }
}

#[test]
fn pages_of_cluster_wide_lists_stay_local_and_unlabelled() {
    for kind in CLUSTER_WIDE_KINDS {
        let page = list(&format!("/api/core/v2/{kind}?limit=1&a=b"));
        assert_eq!((members(&page), page.label), (vec!["local-cluster"], false));
        assert_eq!(page.target, format!("/api/core/v2/{kind}?a=b"));
        assert!(list(&format!("/api/core/v2/{kind}?limit=1&clusters=*")).label);
    }
}

#[test]
fn a_selection_outlives_the_clusters_that_it_names() {
    let resumed = list("/api/core/v2/events?clusters=gone,alpha&continue=x");
    assert_eq!((members(&resumed), &*resumed.selection), (vec!["alpha", "gone"], "alpha,gone"));
    assert!(go("GET", "/api/core/v2/events?clusters=gone,alpha&continue=").is_err());
}

#[test]
fn a_token_goes_to_no_cluster_except_on_raw_paths() {
    for (target, forwarded) in [
        ("/api/core/v2/namespaces/default/checks/x?continue=a&b=c", "b=c"),
        ("/api/core/v2/tessen?b=c&%63ontinue=a&continue=", "b=c"),
        ("/api/core/v2/tessen?continue=a;b", "continue=a;b"),
        ("/c/alpha/api/core/v2/tessen?continue=a", "continue=a"),
        ("/auth?continue=a", "continue=a"),
    ] {
        assert_eq!(forward("GET", target).target.split_once('?').unwrap().1, forwarded);
    }
}

#[test]
fn limits_of_web_pages_are_their_own() {
    assert_eq!(go("GET", "/n/default/events?limit=-1"), Ok(Route::Web));
}

const CLUSTER_WIDE_KINDS: [&str; 4] = ["users", "apikeys", "clusterroles", "clusterrolebindings"];

#[test]
fn the_gateways_own_parameters_are_taken_out_of_the_query() {
    let list = list(
        "/api/core/v2/events?a=%20b&cl%75sters=beta,alpha&%6cimit=10&c=d&co%6etinue=xyz&partial=false&clusters=alpha",
    );
    assert_eq!(members(&list), ["alpha", "beta"]);
    assert_eq!(list.target, "/api/core/v2/events?a=%20b&c=d");
    assert!(list.strict);
    assert_eq!((list.page.limit, list.page.token), (NonZeroU64::new(10), Some("xyz".into())));
    assert_eq!(list.selection, "alpha,beta");
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    for (query, error) in [
        ("limit=-1", RouteError::Limit),
        ("limit=x", RouteError::Limit),
        ("limit=", RouteError::Limit),
        ("limit=+1", RouteError::Limit),
        ("limit=%201", RouteError::Limit),
        ("limit=1.0", RouteError::Limit),
        ("limit=0x1", RouteError::Limit),
        ("limit=1&limit=x", RouteError::Limit),
        ("continue=%ff", RouteError::Continue),
        ("clusters=", RouteError::Clusters),
        ("clusters=a,,b", RouteError::Clusters),
        ("clusters=a:b", RouteError::Clusters),
        ("%6cimit=-1", RouteError::Limit),
        ("a;b", RouteError::Query),
        ("a=%zz", RouteError::Query),
        ("partial=no", RouteError::Partial),
        ("clusters=gone", RouteError::NotRegistered { cluster: "gone".into() }),
    ] {
        assert_eq!(go("GET", &format!("/api/core/v2/events?{query}")), Err(error), "{query}");
    }
}

#[test]
fn a_qualified_list_has_one_member() {
    let list = list("/api/core/v2/namespaces/default@alpha/events?clusters=beta");
    assert_eq!(members(&list), ["alpha"]);
    assert_eq!(list.target, "/api/core/v2/namespaces/default/events");
}

#[test]
fn a_list_qualified_with_the_local_cluster_asks_it_alone() {
    for ns in ["default@local-cluster", "default%40local-cluster"] {
        for query in ["", "?clusters=*"] {
            let list = list(&format!("/api/core/v2/namespaces/{ns}/events{query}"));
            assert_eq!((members(&list), list.everywhere), (vec!["local-cluster"], false), "{ns}{query}");
            assert_eq!(list.target, "/api/core/v2/namespaces/default/events");
        }
    }
    assert_eq!(members(&list("/api/core/v2/namespaces/default/events")).len(), 3);
}

#[test]
fn a_slash_at_the_end_makes_another_path_for_the_cluster_to_refuse() {
    for target in [
        "/api/",
        "/api/core/v2/namespaces/",
        "/api/core/v2/users/",
        "/api/core/v2/events/",
        "/api/secrets/v1/namespaces/",
        "/c/alpha/api/core/v2/namespaces/",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let forward = forward(method, target);
            assert_eq!(forward.target, target.trim_start_matches("/c/alpha"), "{method} {target}");
            assert_eq!(forward.body, BodyRule::Raw, "{method} {target}");
        }
    }
    let of_namespace = forward("GET", "/api/core/v2/namespaces/default@alpha/checks/");
    assert_eq!(of_namespace.target, "/api/core/v2/namespaces/default/checks/");
    assert_eq!(go("GET", "/graphql/"), Ok(Route::Web));
}

#[test]
fn doubled_slashes_of_a_configured_url_count_once() {
    for (twice, once) in [
        ("//auth", "/auth"),
        ("///auth/token", "/auth/token"),
        ("//api/core/v2/namespaces/default/events", "/api/core/v2/namespaces/default/events"),
        ("//c/alpha/auth", "/c/alpha/auth"),
        ("/c/alpha//auth", "/c/alpha/auth"),
        ("//c/alpha///api/core/v2/users?a=//", "/c/alpha/api/core/v2/users?a=//"),
        ("//graphql", "/graphql"),
        ("//health", "/health"),
        ("//readyz", "/readyz"),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let read = |target| route(&method, target, &clusters(), ListScope::All);
            assert_eq!(read(twice), read(once), "{method} {twice}");
            assert!(read(twice).route.is_ok(), "{method} {twice}");
        }
    }
}

#[test]
fn links_to_pages_lead_to_the_spelling_that_the_web_ui_knows() {
    for (link, page) in [
        ("/n/default%40alpha/events?a=%40", "/n/default@alpha/events?a=%40"),
        ("/c/~/n/default/events/web/cpu?x=1&y", "/n/default/events/web/cpu?x=1&y"),
        ("/c/%7E/n/default", "/n/default"),
        ("/c/local-cluster/n/default/", "/n/default/"),
        ("/c/alpha/n/default/entities", "/n/default@alpha/entities"),
        ("//n/default/events", "/n/default/events"),
        ("/n//default%40beta//", "/n/default@beta/"),
        ("//c/alpha//n/default", "/n/default@alpha"),
    ] {
        assert_eq!(go("GET", link), Ok(Route::Moved(page.to_owned())), "{link}");
        assert_eq!(go("GET", page), Ok(Route::Web), "{page}");
    }
    for page in
        ["/n/default/events?limit=-1", "/c/alpha", "/c/alpha/n", "/c/alpha/n/default@beta", "/", "/x/"]
    {
        assert_eq!(go("GET", page), Ok(Route::Web), "{page}");
    }
    let unknown = Err(RouteError::NotRegistered { cluster: "nope".into() });
    assert_eq!(go("GET", "/c/nope/n/default"), unknown);
    assert_eq!(go("POST", "/n/default%40alpha"), Ok(Route::Web));
    for bad in ["//..//x", "//\\x", "//n/%2e%2e/x", "/c/~/n/..", "//x%2Fy", "//%00", "/c/~/n/a%zz"] {
        assert_eq!(go("GET", bad), Err(RouteError::Path), "{bad}");
    }
}

#[test]
fn the_default_scope_can_be_local() {
    let route = route(&Method::GET, "/api/core/v2/events", &clusters(), ListScope::Local).route;
    assert!(matches!(route, Ok(Route::List(list)) if members(&list) == ["local-cluster"]));
}

#[test]
fn entity_writes_pin_the_namespace_and_name_of_the_path() {
    let put = forward("PUT", "/api/core/v2/namespaces/default@alpha/entities/web%2D1");
    assert_eq!(
        put.body,
        BodyRule::Namespaced {
            shape: Shape::Resource,
            must_equal: Some("default".into()),
            name: NameRule::Equals("web-1".into())
        }
    );
    let raw = forward("POST", "/c/alpha/api/core/v2/namespaces/default/entities");
    assert_eq!(
        raw.body,
        BodyRule::Checked { must_equal: Some("default".into()), name: NameRule::Components }
    );
    let asset = forward("POST", "/c/alpha/api/core/v2/namespaces/default/assets");
    assert_eq!(asset.body, BodyRule::Checked { must_equal: None, name: NameRule::Components });
}

#[test]
fn credentials_are_asked_for_where_sensu_asks() {
    for (path, scope) in [
        ("/api/core/v2/events", AuthScope::Api),
        ("/api", AuthScope::Api),
        ("/api/x/../..", AuthScope::Api),
        ("/c/alpha/api/core/v2/events", AuthScope::Api),
        ("/c/alpha/auth", AuthScope::Open),
        ("/c/~/graphql", AuthScope::GraphQl),
        ("/graphql", AuthScope::GraphQl),
        ("/auth/token", AuthScope::Open),
        ("/api/enterprise/authentication/v2/oidc/token", AuthScope::Open),
        ("/apix", AuthScope::Open),
    ] {
        let routed = route(&Method::GET, path, &clusters(), ListScope::All);
        assert_eq!(routed.auth, scope, "{path}");
    }
}

#[test]
fn unauthenticated_sensu_endpoints_are_not_exposed() {
    for path in ["/metrics", "/api/core/v2/tessen/metrics", "/c/alpha/api/core/v2/tessen/metrics"] {
        assert_eq!(go("POST", path), Err(RouteError::NotFound));
    }
}

/// What a path means, with its slashes written once, where they are written otherwise.
const PATHS: [&str; 12] = [
    "/auth",
    "/auth/test",
    "/api/core/v2/namespaces/default/events",
    "/api/core/v2/namespaces/default@alpha/checks/a",
    "/api/enterprise/federation/v1/clusters",
    "/graphql",
    "/health",
    "/readyz",
    "/c/alpha/auth",
    "/c/~/api/core/v2/users",
    "/c/beta/graphql",
    "/n/default/events",
];

proptest! {
    #[test]
    fn a_path_with_doubled_slashes_means_what_it_means_with_single_ones_or_nothing(
        path in proptest::sample::select(&PATHS[..]),
        slashes in prop::collection::vec(1..4_usize, 8),
        is_doubled_at_the_end_of_a_url in any::<bool>(),
        query in "(\\?[a-z]=/{0,2})?",
        method in proptest::sample::select(&[Method::GET, Method::POST, Method::PUT, Method::DELETE][..]),
    ) {
        let segments: Vec<&str> = path[1..].split('/').collect();
        // Where the path of a URL ends that clients are configured with.
        let ends = if segments[0] == "c" { vec![0, 2] } else { vec![0] };
        let spelled = segments.iter().enumerate().fold(String::new(), |spelled, (at, segment)| {
            let is_kept = is_doubled_at_the_end_of_a_url && !ends.contains(&at);
            spelled + &"/".repeat(if is_kept { 1 } else { slashes[at] }) + segment
        });
        let read = |target: &str| route(&method, &format!("{target}{query}"), &clusters(), ListScope::All);
        let (once, many) = (read(path), read(&spelled));
        match many.route {
            Err(RouteError::Path) if !is_doubled_at_the_end_of_a_url || once.route == Ok(Route::Web) => {}
            // A page, by way of a redirect to itself.
            Ok(Route::Moved(location)) => assert_eq!(location, format!("{path}{query}"), "{spelled}"),
            found => {
                assert_eq!(found, once.route, "{method} {spelled}");
                assert_eq!(many.auth, once.auth, "{method} {spelled}");
            }
        }
    }

    #[test]
    fn links_lead_to_pages_of_this_server(link in "/[/cn~a@%402.\\\\x-]{0,30}") {
        if let Ok(Route::Moved(page)) = go("GET", &link) {
            assert!(page.starts_with('/') && !page.starts_with("//") && !page.contains('\\'), "{link} {page}");
            assert_eq!(go("GET", &page), Ok(Route::Web), "{link} {page}");
        }
    }

    #[test]
    fn routing_is_total(target in "/[a-z@%/.0-9A-F?&=,~-]{0,60}") {
        fuzzing::route_is_total_and_stable(target.as_bytes());
    }

    #[test]
    fn routing_of_api_paths_is_stable(
        ns in "[a-z@%40.]{1,12}", kind in "(checks|events|entities|silenced)", rest in "(/[a-z%2F.]{1,8}){0,3}"
    ) {
        fuzzing::route_is_total_and_stable(format!("/api/core/v2/namespaces/{ns}/{kind}{rest}").as_bytes());
    }
}
