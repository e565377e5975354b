//! An example of every command, for its help and its manual page.

use clap::Command;

/// Commands, their words joined by spaces, and lines that a user could type.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("", &["fedgate demo", "fedgate status --watch 5", "fedgate list event --clusters '*' --all-namespaces"]),
    (
        "serve",
        &[
            "fedgate serve",
            "fedgate serve --config /etc/fedgate/fedgate.yaml --address 0.0.0.0:8080 --log-level debug",
        ],
    ),
    ("demo", &["fedgate demo", "fedgate demo --port 9080 --fail alpha"]),
    ("simulate", &["fedgate simulate alpha --listen 127.0.0.1:18180 --keys keys"]),
    ("check-config", &["fedgate check-config --config /etc/fedgate/fedgate.yaml"]),
    ("health", &["fedgate health", "fedgate health --url http://127.0.0.1:9180/livez"]),
    (
        "create",
        &[
            "fedgate create -f resources.yaml",
            "fedgate create -r -f directory --skip-unknown",
            "fedgate dump check --namespace staging | fedgate create --url https://fedgate.example.com/c/alpha",
        ],
    ),
    (
        "create asset",
        &["fedgate create asset checks --url https://assets.example.com/checks.tar.gz --sha512 4f926bf4328f"],
    ),
    (
        "create check",
        &["fedgate create check disk --command check-disk --subscriptions system --interval 60"],
    ),
    (
        "create cluster-role-binding",
        &["fedgate create cluster-role-binding ops --cluster-role cluster-admin --group ops"],
    ),
    ("create cluster-role", &["fedgate create cluster-role reader --verb get,list --resource checks,events"]),
    ("create entity", &["fedgate create entity router --entity-class proxy"]),
    ("create filter", &["fedgate create filter few --action allow --expressions event.check.occurrences==1"]),
    ("create handler", &["fedgate create handler pager --type pipe --command page-somebody"]),
    ("create hook", &["fedgate create hook processes --command ps --timeout 10"]),
    ("create mutator", &["fedgate create mutator masked --command mask-secrets"]),
    ("create namespace", &["fedgate create namespace staging", "fedgate create namespace staging@alpha"]),
    ("create role-binding", &["fedgate create role-binding dev --role dev --group developers"]),
    ("create role", &["fedgate create role dev --verb get,list --resource checks"]),
    (
        "create silenced",
        &["fedgate create silenced --subscription system --reason maintenance --expire 3600"],
    ),
    (
        "configure",
        &["fedgate configure", "fedgate configure --url https://fedgate.example.com:8080 --username admin"],
    ),
    ("logout", &["fedgate logout"]),
    ("config", &["fedgate config view", "fedgate config set-namespace default@alpha"]),
    ("config view", &["fedgate config view --format json"]),
    ("config set-format", &["fedgate config set-format yaml"]),
    ("config set-namespace", &["fedgate config set-namespace default@alpha"]),
    ("config set-timeout", &["fedgate config set-timeout 30s"]),
    ("env", &["fedgate env"]),
    ("describe-type", &["fedgate describe-type all", "fedgate describe-type check"]),
    ("version", &["fedgate version"]),
    ("edit", &["fedgate edit cluster gamma", "fedgate edit check disk --namespace default@alpha"]),
    (
        "delete",
        &[
            "fedgate delete cluster gamma",
            "fedgate delete -f resources.yaml",
            "fedgate dump silenced | fedgate delete",
        ],
    ),
    (
        "dump",
        &[
            "fedgate dump all --all-namespaces --omit core/v2.Event --file backup.yaml",
            "fedgate dump check,handler > checks.yaml",
            "fedgate dump cluster,etcd-replicator,replicator",
        ],
    ),
    (
        "list",
        &[
            "fedgate list event --all-namespaces --watch 5",
            "fedgate list check --clusters alpha,beta",
            "fedgate list entity --namespace default@alpha --format yaml",
        ],
    ),
    (
        "info",
        &[
            "fedgate info check disk --namespace default@alpha",
            "fedgate info event web-01 cpu --watch 2 --format json",
        ],
    ),
    ("adopt", &["fedgate adopt etcd-replicator roles"]),
    ("status", &["fedgate status", "fedgate status --watch 5", "fedgate status --format json"]),
    (
        "diff",
        &[
            "fedgate diff replicator rbac --cluster alpha --format json",
            "fedgate diff etcd-replicator roles-alpha",
        ],
    ),
    ("verify", &["fedgate verify", "fedgate verify --format json"]),
    ("completions", &["fedgate completions bash > ~/.local/share/bash-completion/completions/fedgate"]),
    ("man", &["fedgate man | man -l -", "fedgate man man1"]),
];

/// The command with its examples, and so its subcommands.
pub(super) fn with_examples(command: Command) -> Command {
    at(command, "")
}

fn at(mut command: Command, path: &str) -> Command {
    if let Some((_, lines)) = EXAMPLES.iter().find(|(of, _)| *of == path) {
        let heading = if lines.len() == 1 { "Example" } else { "Examples" };
        let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
        command = command.after_help(format!("{before}{heading}:\n  {}", lines.join("\n  ")));
    }
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| at(sub, path.trim_start()));
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn paths(command: &Command, path: &str, found: &mut Vec<String>) {
        found.push(path.to_owned());
        // Hidden are those that a type has in sensuctl's order of words.
        for sub in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            paths(sub, format!("{path} {}", sub.get_name()).trim_start(), found);
        }
    }

    /// As a shell splits the line; each command of a pipe, without what it is redirected to.
    fn commands(line: &str) -> Vec<Vec<String>> {
        let words = |part: &str| {
            let words = part.split(" > ").next().unwrap().split_whitespace();
            words.map(|word| word.trim_matches('\'').to_owned()).collect()
        };
        line.split(" | ").map(words).collect()
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_of_a_command() {
        let mut found = Vec::new();
        paths(&Cli::command(), "", &mut found);
        let lacks = |path: &&String| !EXAMPLES.iter().any(|(of, lines)| of == path && !lines.is_empty());
        let lacking: Vec<_> = found.iter().filter(lacks).collect();
        assert!(lacking.is_empty(), "these have no example, add one: {lacking:?}");
        for (path, _) in EXAMPLES {
            assert!(found.iter().any(|it| it == path), "{path:?} is no command");
        }
    }

    #[test]
    fn every_example_is_a_line_of_its_command_that_can_be_typed() {
        for (path, lines) in EXAMPLES {
            for line in *lines {
                for command in commands(line).iter().filter(|command| command[0] == "fedgate") {
                    let parsed = with_examples(Cli::command()).try_get_matches_from(command);
                    let wrong = parsed.err().map(|error| error.to_string());
                    assert_eq!(wrong, None, "{line}");
                }
                assert!(
                    line.split(" | ").any(|it| it.starts_with(format!("fedgate {path}").trim_end())),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn help_and_manual_show_them() {
        let mut command = with_examples(Cli::command());
        let list = command.find_subcommand_mut("list").unwrap();
        for help in [list.render_help().to_string(), list.render_long_help().to_string()] {
            assert!(help.contains("Examples:\n  fedgate list event --all-namespaces"), "{help}");
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(list.clone()).render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("fedgate list check \\-\\-clusters alpha,beta"), "{page}");
    }
}
