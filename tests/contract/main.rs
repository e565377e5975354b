//! Replays exchanges recorded from Sensu Go 6.12 (`tests/data/sensu-6.12/`) and compares the answers.
//!
//! `simulated::*` always runs, against the simulated Sensu; what that knowingly does otherwise is listed in
//! `known.rs`.
//!
//! `real_backends::*` runs against real backends, and passes at once when there are none. To run it, start up to
//! three Sensu backends with TLS and one P-256 key pair, freshly initialised with administrator `admin` /
//! `P@ssw0rd!`, then
//!
//! ```sh
//! export FEDGATE_TEST_SENSU=https://127.0.0.1:8080,https://127.0.0.1:8180,https://127.0.0.1:8280  # gateway,alpha,beta
//! export FEDGATE_TEST_SENSU_CA=ca.pem           # signed the certificates of all three
//! export FEDGATE_TEST_SENSU_KEY=private.pem     # their jwt-private-key-file, PKCS#8 or SEC1
//! export FEDGATE_TEST_SENSU_PUB=public.pem      # their jwt-public-key-file; optional, checked against the private one
//! export FEDGATE_TEST_SENSU_ETCD=http://127.0.0.1:2379,http://127.0.0.1:2479,http://127.0.0.1:2579  # optional
//! cargo test --test contract real_backends -- --nocapture
//! ```
//!
//! The backends cannot be used twice: the groups leave their data behind. Without etcd, the groups that plant values
//! in the store are skipped.

mod bindings;
mod compare;
mod double;
mod fixture;
mod http;
mod known;
mod real;
mod replay;
mod report;
mod target;
mod token;

macro_rules! contract {
    ($target:ident: $($test:ident => $group:literal,)+) => {
        $(
            #[test]
            fn $test() {
                crate::$target::check($group);
            }
        )+
    };
}

mod simulated {
    contract! { double:
        a_fresh_backend_takes_the_seed => "seed",
        every_list_has_its_shape_and_order => "lists",
        every_get_has_its_shape_and_dialect_of_not_found => "get",
        pages_follow_the_cursor => "pagination",
        requests_are_dispatched_before_they_are_authenticated => "dispatch",
        tokens_are_issued_refreshed_and_revoked => "auth",
        a_bearer_token_is_judged_by_signature_times_and_groups => "tokens",
        resources_are_created_replaced_patched_and_deleted => "crud",
        bad_bodies_are_refused_in_the_dialect_of_their_route => "errors",
        rights_come_from_roles_and_bindings => "rbac",
        traversal_and_forged_cursors_cross_namespaces => "hazards",
        clusters_with_one_key_accept_each_others_tokens => "federation",
        a_starting_backend_answers_503 => "startup",
        graphql_queries_answer_as_recorded => "graphql-read",
        graphql_mutations_answer_as_recorded => "graphql-write",
    }
}

mod real_backends {
    contract! { real:
        a_fresh_backend_takes_the_seed => "seed",
        every_list_has_its_shape_and_order => "lists",
        every_get_has_its_shape_and_dialect_of_not_found => "get",
        pages_follow_the_cursor => "pagination",
        requests_are_dispatched_before_they_are_authenticated => "dispatch",
        tokens_are_issued_refreshed_and_revoked => "auth",
        a_bearer_token_is_judged_by_signature_times_and_groups => "tokens",
        resources_are_created_replaced_patched_and_deleted => "crud",
        bad_bodies_are_refused_in_the_dialect_of_their_route => "errors",
        rights_come_from_roles_and_bindings => "rbac",
        traversal_and_forged_cursors_cross_namespaces => "hazards",
        clusters_with_one_key_accept_each_others_tokens => "federation",
        a_starting_backend_answers_503 => "startup",
        graphql_queries_answer_as_recorded => "graphql-read",
        graphql_mutations_answer_as_recorded => "graphql-write",
    }
}

#[test]
fn every_known_difference_names_one_exchange() {
    let groups = std::fs::read_dir(fixture::directory()).expect("the recorded exchanges");
    let groups =
        groups.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let names: Vec<_> = groups
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !matches!(name.as_str(), "etcd" | "transport"))
        .flat_map(|name| fixture::Group::load(&name).exchanges)
        .map(|exchange| exchange.name)
        .collect();
    for (known, reason) in known::KNOWN {
        assert!(!reason.is_empty(), "{known} needs a reason");
        assert_eq!(names.iter().filter(|name| name == known).count(), 1, "{known}");
    }
}
