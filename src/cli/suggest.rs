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
    let close = |word: &str| {
        let nearest = commands.iter().min_by_key(|command| strsim::osa_distance(command, word))?;
        let distance = strsim::osa_distance(nearest, word);
        (distance <= 2 && distance * 2 <= word.chars().count()).then(|| nearest.clone())
    };
    if let Some(word) = client::word_for(given) {
        let verb = after.first().and_then(|verb| close(verb)).unwrap_or_else(|| "list".to_owned());
        let names = after.iter().skip(1).take_while(|word| !word.starts_with('-')).map(String::as_str);
        let line = std::iter::once(word).chain(names).collect::<Vec<_>>().join(" ");
        return Some(format!("the command comes before the type: fedgate {verb} {line}"));
    }
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
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = Cli::try_parse_from(std::iter::once("fedgate".to_owned()).chain(arguments.clone()));
        instead(&parsed.unwrap_err(), arguments.into_iter())
    }

    #[test]
    fn what_was_meant_is_said() {
        for (line, expected) in [
            ("event list", "the command comes before the type: fedgate list event"),
            ("check info cpu --format json", "the command comes before the type: fedgate info check cpu"),
            ("checks", "the command comes before the type: fedgate list check"),
            ("entity delte e", "the command comes before the type: fedgate delete entity e"),
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
