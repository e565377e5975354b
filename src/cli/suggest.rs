//! What someone meant who gave a command that does not exist.

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Cli, client};

/// What to type in place of an unknown command, if that can be told. Sensu's own client has the type first: `check list`.
pub(super) fn instead(error: &clap::Error, arguments: impl Iterator<Item = String>) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let after: Vec<String> = arguments.skip_while(|argument| argument != given).skip(1).collect();
    let commands: Vec<String> = Cli::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let meant = |word: &str| {
        let same = SYNONYMS.iter().find(|(synonym, _)| *synonym == word).map(|(_, command)| *command);
        same.or_else(|| nearest(word, commands.iter().map(String::as_str)))
    };
    if let Some(word) = client::word_for(given) {
        return Some(the_other_way_round(word, &after, meant));
    }
    if let Some((_, advice)) = ELSEWHERE.iter().find(|(command, _)| command == given) {
        return Some(format!("there is no command {given:?}: {advice}"));
    }
    Some(match meant(given) {
        Some(command) => format!("unknown command {given:?}: did you mean {command}?"),
        None => format!("unknown command {given:?}: must be one of {}", commands.join(", ")),
    })
}

/// `check lst cpu` is `list check cpu`.
fn the_other_way_round<'a>(word: &str, after: &[String], meant: impl Fn(&str) -> Option<&'a str>) -> String {
    let verb = after.first().and_then(|verb| meant(verb));
    let names = after.iter().skip(1).take_while(|word| !word.starts_with('-')).map(String::as_str);
    // A list takes no names, and what has one is shown.
    let names: Vec<&str> = if verb == Some("list") || verb.is_none() { Vec::new() } else { names.collect() };
    let line = std::iter::once(word).chain(names).collect::<Vec<_>>().join(" ");
    format!("the command comes before the type: fedgate {} {line}", verb.unwrap_or("list"))
}

/// The word that is most like this one, if it is like any of them.
fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, nearest) = words.map(|it| (strsim::osa_distance(it, word), it)).min()?;
    (distance <= 2 && distance * 2 <= word.chars().count()).then_some(nearest)
}

/// What other tools call our commands.
const SYNONYMS: [(&str, &str); 20] = [
    ("add", "create"),
    ("apply", "create"),
    ("cat", "info"),
    ("check-health", "health"),
    ("describe", "info"),
    ("destroy", "delete"),
    ("export", "dump"),
    ("get", "info"),
    ("import", "create"),
    ("ls", "list"),
    ("manual", "man"),
    ("remove", "delete"),
    ("replace", "create"),
    ("rm", "delete"),
    ("run", "serve"),
    ("server", "serve"),
    ("show", "info"),
    ("start", "serve"),
    ("update", "edit"),
    ("validate", "check-config"),
];

/// What there is in place of a command.
const ELSEWHERE: [(&str, &str); 5] = [
    ("configure", "log in with sensuctl configure, whose login fedgate uses, or give --user"),
    ("help", "give --help"),
    ("login", "log in with sensuctl configure, whose login fedgate uses, or give --user"),
    ("logout", "log out with sensuctl logout, whose login fedgate uses"),
    ("version", "give --version"),
];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn said(line: &str) -> Option<String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = Cli::try_parse_from(std::iter::once("fedgate".to_owned()).chain(arguments.clone()));
        instead(&parsed.unwrap_err(), arguments.into_iter())
    }

    #[test]
    fn what_was_meant_is_said() {
        for (line, expected) in [
            ("event list", "the command comes before the type: fedgate list event"),
            ("check info cpu --format json", "the command comes before the type: fedgate info check cpu"),
            ("event ls", "the command comes before the type: fedgate list event"),
            ("event lsit", "the command comes before the type: fedgate list event"),
            ("asset get a", "the command comes before the type: fedgate info asset a"),
            (
                "role-binding rm r --namespace x",
                "the command comes before the type: fedgate delete role-binding r",
            ),
            ("check execute cpu", "the command comes before the type: fedgate list check"),
            ("checks", "the command comes before the type: fedgate list check"),
            ("entity delte e", "the command comes before the type: fedgate delete entity e"),
            ("lits check", "unknown command \"lits\": did you mean list?"),
            ("staus", "unknown command \"staus\": did you mean status?"),
            ("chek-config", "unknown command \"chek-config\": did you mean check-config?"),
            ("apply -f x", "unknown command \"apply\": did you mean create?"),
            ("get checks", "unknown command \"get\": did you mean info?"),
            ("version", "there is no command \"version\": give --version"),
        ] {
            assert_eq!(said(line).unwrap(), expected, "{line}");
        }
        assert!(
            said("nonsense").unwrap().starts_with("unknown command \"nonsense\": must be one of serve, demo")
        );
        assert!(said("logout").unwrap().starts_with("there is no command \"logout\": log out with sensuctl"));
        assert_eq!(said("list --nonsense"), None);
    }

    #[test]
    fn whatever_is_suggested_is_a_command() {
        let commands: Vec<String> =
            Cli::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
        for (synonym, command) in SYNONYMS {
            assert!(commands.iter().any(|it| it == command), "{command}");
            assert!(!commands.iter().any(|it| it == synonym), "{synonym} has become a command");
        }
    }
}
