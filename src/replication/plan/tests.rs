use super::*;
use crate::types::TlsFiles;

fn address(host: &str) -> Address {
    Address { endpoints: vec![format!("http://{host}:2379").parse().unwrap()], tls: TlsFiles::default() }
}

/// What is wanted: replicators by destination.
fn wanted(all: &[(&str, &[&str])]) -> Wanted {
    let destination = |(id, names): &(&str, &[&str])| {
        let scope =
            |name: &&str| Scope { name: (*name).into(), kind: Type::Role, namespace: None, held: false };
        let scopes = names.iter().map(scope).collect();
        (
            (*id).to_owned(),
            Destination {
                address: address(id),
                scopes,
                interval: Duration::from_secs(1),
                adopts: BTreeSet::new(),
            },
        )
    };
    Wanted { destinations: all.iter().map(destination).collect(), unreadable: BTreeSet::new() }
}

fn known(all: &[(&str, &[&str])]) -> BTreeMap<String, KnownDestination> {
    let known = |(id, names): &(&str, &[&str])| {
        let owners = names.iter().map(|name| ((*name).into(), 1)).collect();
        let names = names.iter().map(|name| (*name).into()).collect();
        ((*id).to_owned(), KnownDestination { address: address(id), names, owners, place: None })
    };
    all.iter().map(known).collect()
}

fn places(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(id, place)| ((*id).to_owned(), (*place).to_owned())).collect()
}

fn set(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn clean() -> Report {
    Report { known: Known::Currently, ..Report::default() }
}

/// What a destination reports where nothing of this federation is any more.
fn left() -> Report {
    Report { known: Known::Left, ..clean() }
}

const NEVER: Overdue<'static> = &|_, _| false;
const LONG_AGO: Overdue<'static> = &|_, _| true;

#[test]
fn a_replicator_that_moves_waits_for_its_old_destination_but_not_for_ever() {
    let (wanted, known) = (wanted(&[("new", &["r"])]), known(&[("new", &["r"]), ("old", &["r"])]));
    for (names, new_place_is_unknown) in
        [(&[("old", "1"), ("new", "2")][..], false), (&[("old", "1")][..], true)]
    {
        let places = places(names);
        let view = View { wanted: &wanted, known: &known, places: &places };
        assert!(view.assignment("new", NEVER).scopes[0].held);
        assert_eq!(view.assignment("old", NEVER).foreign_owners.contains("r"), new_place_is_unknown);
        assert!(!view.assignment("new", LONG_AGO).scopes[0].held);
        assert!(!view.assignment("old", LONG_AGO).foreign_owners.contains("r"));
        let dirty = Report { unassigned_owners: BTreeMap::from([("r".to_owned(), 1)]), ..clean() };
        assert_eq!(view.remaining("old", Some(&dirty), LONG_AGO), set(&["r"]));
        assert_eq!(view.remaining("old", None, LONG_AGO), set(&["r"]));
        // Until the fence is gone, too.
        assert!(view.assignment("old", NEVER).leaves && !view.assignment("new", NEVER).leaves);
        assert_eq!(view.remaining("old", Some(&clean()), LONG_AGO), set(&["r"]));
        assert_eq!(view.remaining("old", Some(&left()), LONG_AGO), set(&[]));
    }
}

#[test]
fn a_replicator_for_which_nothing_was_ever_written_is_gone_at_once() {
    let (wanted, mut known) = (wanted(&[("new", &["moved"])]), known(&[("old", &["moved", "gone", "owns"])]));
    let old = known.get_mut("old").unwrap();
    old.owners = BTreeMap::from([("owns".into(), 0)]);
    // Whatever is known of the place, and whether or not it answers.
    for places in [places(&[]), places(&[("old", "1"), ("new", "2")])] {
        let view = View { wanted: &wanted, known: &known, places: &places };
        assert_eq!(view.remaining("old", None, NEVER), set(&["owns"]));
        assert_eq!(view.all_leaving(), []);
        assert!(!view.assignment("new", NEVER).scopes[0].held);
    }
}

#[test]
fn nothing_is_written_before_it_is_recorded_that_all_replicators_may_own_something() {
    let wanted = wanted(&[("a", &["r", "s"])]);
    let places = places(&[("a", "1")]);
    for (owners, place, recorded) in [
        (&["r", "s"][..], Some("1"), Some("1")),
        (&["r"], Some("1"), None),
        (&[], Some("1"), None),
        (&["r", "s"], None, None),
    ] {
        let mut known = known(&[("a", &["r", "s"])]);
        let a = known.get_mut("a").unwrap();
        a.owners = owners.iter().map(|name| ((*name).into(), 0)).collect();
        a.place = place.map(str::to_owned);
        let view = View { wanted: &wanted, known: &known, places: &places };
        assert_eq!(view.assignment("a", NEVER).recorded.as_deref(), recorded);
    }
}

#[test]
fn other_certificates_or_another_member_do_not_move_a_replicator_unless_that_turns_out() {
    let (mut wanted, known) = (wanted(&[("new", &["r"])]), known(&[("new", &["r"]), ("old", &["r"])]));
    let member = address("old").endpoints.remove(0);
    wanted.destinations.get_mut("new").unwrap().address.endpoints.push(member);
    // The new address does not answer: for how long does not matter, as it is not expected to leave.
    let unknown = places(&[("old", "1")]);
    let view = View { wanted: &wanted, known: &known, places: &unknown };
    assert_eq!(view.all_leaving(), []);
    assert!(!view.assignment("new", NEVER).scopes[0].held);
    assert!(view.assignment("old", NEVER).foreign_owners.contains("r"));
    assert_eq!(view.remaining("old", Some(&clean()), NEVER), set(&["r"]), "not forgotten");
    let elsewhere = places(&[("old", "1"), ("new", "2")]);
    let view = View { places: &elsewhere, ..view };
    assert!(view.assignment("new", NEVER).scopes[0].held);
    assert!(!view.assignment("old", NEVER).foreign_owners.contains("r"));
}

#[test]
fn another_address_of_a_place_takes_over_what_is_owned_there() {
    let (wanted, places) = (wanted(&[("new", &["r"])]), places(&[("old", "1"), ("new", "1")]));
    let first = known(&[("new", &["r"]), ("old", &["r", "deleted"])]);
    let view = View { wanted: &wanted, known: &first, places: &places };
    assert!(!view.assignment("new", NEVER).scopes[0].held);
    assert!(view.assignment("old", NEVER).foreign_owners.contains("r"));
    // What was deleted meanwhile is the new address' to clean, once it is written down there.
    assert_eq!(view.remaining("old", None, NEVER), set(&["deleted"]));
    assert_eq!(view.names("new"), set(&["r", "deleted"]));
    assert_eq!(view.owners("new", &view.names("new")).len(), 2);
    assert!(!view.assignment("old", NEVER).leaves, "the place is in use");
    let second = known(&[("new", &["r", "deleted"]), ("old", &["r", "deleted"])]);
    let view = View { known: &second, ..view };
    assert_eq!(view.remaining("old", None, NEVER), set(&[]));
    assert_eq!(view.remaining("new", None, NEVER), set(&["r", "deleted"]));
    assert_eq!(view.remaining("new", Some(&clean()), NEVER), set(&["r"]));
}

#[test]
fn what_a_definition_owns_that_cannot_be_read_stays() {
    let mut wanted = wanted(&[]);
    wanted.unreadable = set(&["r"]);
    let (known, places) = (known(&[("a", &["r", "s"])]), places(&[("a", "1")]));
    let view = View { wanted: &wanted, known: &known, places: &places };
    assert!(view.assignment("a", LONG_AGO).foreign_owners.contains("r"));
    assert!(!view.assignment("a", LONG_AGO).foreign_owners.contains("s"));
    assert_eq!(view.remaining("a", Some(&clean()), LONG_AGO), set(&["r"]));
    assert!(!view.assignment("a", LONG_AGO).leaves);
}

#[test]
fn two_addresses_of_one_place_leave_each_others_replicators_alone() {
    let all: &[(&str, &[&str])] = &[("a", &["r"]), ("b", &["s"])];
    let (wanted, known) = (wanted(all), known(all));
    for (places, foreign_owners) in [
        (places(&[("a", "1"), ("b", "1")]), true),
        (places(&[("a", "1"), ("b", "2")]), false),
        (places(&[("a", "1")]), true),
    ] {
        let view = View { wanted: &wanted, known: &known, places: &places };
        assert_eq!(view.assignment("a", NEVER).foreign_owners.contains("s"), foreign_owners);
        assert!(!view.assignment("a", NEVER).scopes[0].held);
    }
}

#[test]
fn a_warning_is_about_what_leaves_the_host() {
    let spec = |urls: &[&str], insecure| ReplicatorSpec {
        endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
        tls: TlsFiles { insecure_skip_tls_verify: insecure, ..TlsFiles::default() },
        api_version: "core/v2".into(),
        resource: "Role".into(),
        namespace: None,
        interval: Duration::from_secs(30),
    };
    for (urls, insecure, says) in [
        (&["http://127.0.0.1:2379"][..], false, None),
        (&["http://127.0.0.1:2379"], true, None),
        (&["http://localhost:2379", "http://[::1]:2379"], true, None),
        (&["https://127.0.0.1:2379"], true, None),
        (&["https://a:2379"], false, None),
        (&["https://a:2379"], true, Some("spec.insecure")),
        (&["https://a:2379", "http://b:2379"], true, Some("spec.url is http")),
        (&["http://10.0.0.1:2379"], false, Some("spec.url is http")),
    ] {
        let warning = unsafe_about(&spec(urls, insecure));
        assert_eq!(warning.is_some(), says.is_some(), "{urls:?} {insecure}");
        assert!(warning.is_none_or(|text| text.contains(says.unwrap())), "{warning:?}");
    }
}

#[test]
fn a_replicator_is_deleted_when_it_is_wanted_nowhere() {
    let mut wanted = wanted(&[("a", &["stays"]), ("b", &["moved"])]);
    wanted.unreadable = set(&["unreadable"]);
    let known = known(&[("a", &["stays", "moved", "gone", "unreadable"])]);
    assert_eq!(deleted(&known, &wanted).collect::<Vec<_>>(), [("a".to_owned(), "gone".into())]);
}
