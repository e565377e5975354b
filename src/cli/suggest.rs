//! What someone meant who gave a command that does not exist. Sensu's own order of words is none of these: see `sensuctl`.

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;

/// What to type in place of an unknown command, if that can be told.
pub(super) fn instead(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let command = Cli::command();
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    let commands: Vec<String> = shown.map(|it| it.get_name().to_owned()).collect();
    let same = SYNONYMS.iter().find(|(synonym, _)| synonym == given).map(|(_, command)| *command);
    Some(match same.or_else(|| nearest(given, commands.iter().map(String::as_str))) {
        Some(command) => format!("unknown command {given:?}: did you mean {command}?"),
        None => format!("unknown command {given:?}: must be one of {}", commands.join(", ")),
    })
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn said(line: &str) -> Option<String> {
        let parsed = Cli::try_parse_from(std::iter::once("fedgate").chain(line.split_whitespace()));
        instead(&parsed.unwrap_err())
    }

    #[test]
    fn what_was_meant_is_said() {
        for (line, expected) in [
            ("lits check", "unknown command \"lits\": did you mean list?"),
            ("staus", "unknown command \"staus\": did you mean status?"),
            ("chek-config", "unknown command \"chek-config\": did you mean check-config?"),
            ("apply -f x", "unknown command \"apply\": did you mean create?"),
            ("get checks", "unknown command \"get\": did you mean info?"),
        ] {
            assert_eq!(said(line).unwrap(), expected, "{line}");
        }
        assert!(
            said("nonsense").unwrap().starts_with("unknown command \"nonsense\": must be one of serve, demo")
        );
        assert_eq!(said("list --nonsense"), None);
    }

    #[test]
    fn whatever_is_suggested_is_a_command() {
        let command = Cli::command();
        for (synonym, meant) in SYNONYMS {
            assert!(command.find_subcommand(meant).is_some(), "{meant}");
            assert!(command.find_subcommand(synonym).is_none(), "{synonym} has become a command");
        }
    }
}
