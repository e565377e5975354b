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
    let close = |word: &str| {
        let nearest = commands.iter().min_by_key(|command| strsim::osa_distance(command, word))?;
        let distance = strsim::osa_distance(nearest, word);
        (distance <= 2 && distance * 2 <= word.chars().count()).then(|| nearest.clone())
    };
    Some(match close(given) {
        Some(command) => format!("unknown command {given:?}: did you mean {command}?"),
        None => format!("unknown command {given:?}: must be one of {}", commands.join(", ")),
    })
}

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
        ] {
            assert_eq!(said(line).unwrap(), expected, "{line}");
        }
        assert!(
            said("nonsense").unwrap().starts_with("unknown command \"nonsense\": must be one of serve, demo")
        );
        assert_eq!(said("list --nonsense"), None);
    }
}
