use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

fn arranged(line: &str) -> Line {
    let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    arrange(&Cli::command(), &arguments)
}

fn parsed(line: &str) -> String {
    match arranged(line) {
        Line::Parse(line) => line.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" "),
        other => panic!("{line}: {other:?}"),
    }
}

fn refused(line: &str) -> String {
    match arranged(line) {
        Line::Refuse(why) => why,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn both_orders_and_every_spelling_of_a_type_are_the_same() {
    for (line, expected) in [
        ("check list", "list check"),
        ("checks list --all-namespaces", "list check --all-namespaces"),
        ("cluster-role info admin", "info cluster-role admin"),
        ("entity delete e --skip-confirm", "delete entity e --skip-confirm"),
        ("handler update h", "edit handler h"),
        ("list checks", "list check"),
        ("check create c --command true", "create check c --command true"),
        ("create check c --command true", "create check c --command true"),
        ("event resolve e c", "event resolve e c"),
        ("resolve event e c", "event resolve e c"),
        ("execute check c", "check execute c"),
        ("api-key grant u", "api-key grant u"),
        ("grant api-key u", "api-key grant u"),
        ("api-key revoke k", "delete api-key k"),
        ("user disable u", "delete user u"),
        ("users list", "list user"),
        ("cluster list", "list cluster"),
        ("cluster health", "cluster health"),
        ("tessen info", "info tessen"),
        ("asset add sensu/x -r x", "asset add sensu/x -r x"),
        ("create -f check", "create -f check"),
        ("create --namespace n -f check", "create --namespace n -f check"),
        ("list --api-key check check", "list --api-key check check"),
        ("dump all", "dump all"),
        ("serve", "serve"),
        ("check-config --config f", "check-config --config f"),
        ("check_config list", "list check"),
        ("config view", "config view"),
        ("help check list", "list check --help"),
        ("check list --help", "list check --help"),
        ("nonsense", "nonsense"),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn options_of_the_connection_may_come_first() {
    for (line, expected) in [
        ("--namespace dev check list", "list check --namespace dev"),
        (
            "--namespace=dev check --timeout 5s list --format json",
            "list check --namespace=dev --timeout 5s --format json",
        ),
        (
            "--insecure-skip-tls-verify --api-url u entity delete e",
            "delete entity e --insecure-skip-tls-verify --api-url u",
        ),
        ("--namespace dev create -f a", "create --namespace dev -f a"),
        ("--config-dir d dump all", "dump all --config-dir d"),
        ("--format json event info e c", "info event e c --format json"),
        ("--config-dir d version", "version"),
        ("--version", "--version"),
        ("--nonsense check list", "--nonsense check list"),
        ("--namespace", "--namespace"),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn silences_are_named_by_what_they_silence() {
    for (line, expected) in [
        ("silenced delete -s linux -c cpu --skip-confirm", "delete silenced linux:cpu --skip-confirm"),
        ("silenced delete --check=cpu", "delete silenced *:cpu"),
        ("silenced info --subscription linux", "info silenced linux:*"),
        ("delete silenced linux:*", "delete silenced linux:*"),
        ("silenced list -c cpu", "list silenced --field-selector=silenced.check == \"cpu\""),
        ("silenced create -s linux", "create silenced -s linux"),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn what_is_not_done_is_refused_in_words() {
    for (line, word) in [
        ("asset outdated", "sensuctl asset outdated"),
        ("command exec x", "sensuctl command"),
        ("cluster member-add a b", "backend's URL"),
        ("secret list", "commercial"),
        ("pipeline create p", "type: Pipeline, api_version: core/v2"),
        ("create cluster c", "type: Cluster, api_version: federation/v1"),
        ("api-key create x", "api-key grant"),
        ("entity delte e", "did you mean fedgate entity delete?"),
        ("entity frobnicate", "must be one of list, info"),
    ] {
        assert!(refused(line).contains(word), "{line}: {}", refused(line));
    }
    for option in ["--interactive", "--interactive=true", "-b", "--log-level=debug"] {
        assert!(refused::refused_option(option).is_some(), "{option}");
    }
    assert_eq!(refused::refused_option("--nonsense"), None);
}

#[test]
fn a_type_alone_shows_its_commands() {
    for line in ["check", "checks --help", "check help", "--namespace x check"] {
        let Line::Say(text) = arranged(line) else { panic!("{line}") };
        assert!(text.contains("fedgate check list") && text.contains("fedgate check execute"), "{text}");
    }
}
