//! What people type who come from Sensu's own client: the type before the verb (`check list`), and options before both.
//!
//! ```text
//!  arguments ──► arrange ──► Parse ──► clap
//!                   │
//!                   ├──► Say: what goes with a type
//!                   └──► Refuse: what fedgate does not do, and what does it (refused)
//! ```

mod refused;
mod silenced;

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fmt::Write as _,
};

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::client;

/// What to make of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// These arguments, in the order that the parser knows.
    Parse(Vec<OsString>),
    /// The commands of a type, which were asked for.
    Say(String),
    /// Why it is not done, and what to do instead.
    Refuse(String),
}

/// Arguments that are being put in order.
struct Arguments<'a> {
    cli: &'a Command,
    rest: VecDeque<OsString>,
    /// Options of the connection that stood before or between the words.
    options: Vec<OsString>,
}

/// Puts the verb before the type, and options behind both.
pub(super) fn arrange(cli: &Command, arguments: &[OsString]) -> Line {
    let mut parts = Arguments { cli, rest: arguments.iter().cloned().collect(), options: Vec::new() };
    let Some(first) = parts.take_word() else { return Line::Parse(arguments.to_vec()) };
    if first == "help" {
        let mut rest: Vec<OsString> = parts.rest.into();
        rest.push("--help".into());
        return arrange(cli, &rest);
    }
    if let Some(why) = refused::refused_subject(&first) {
        return Line::Refuse(why);
    }
    // `check-config` is a command, and a spelling of a type.
    let is_command = find(cli, &[&first]).is_some_and(|command| !command.is_hide_set());
    match (client::word_for(&first).filter(|_| !is_command), is_subject(cli, &first)) {
        (Some(subject), _) => parts.subject_first(subject),
        (None, true) => parts.parse(&[&first]),
        (None, false) => parts.verb_first(&first),
    }
}

/// Why an option is not taken, if it is one of sensuctl's.
pub(super) fn refused(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    refused::refused_option(option)
}

// === impl Arguments ===

impl Arguments<'_> {
    /// The next word; options of the connection before it are set aside. There is none before any other option.
    fn take_word(&mut self) -> Option<String> {
        loop {
            let next = self.rest.front()?.to_str()?;
            if !next.starts_with('-') {
                return self.rest.pop_front().and_then(|word| word.into_string().ok());
            }
            let name = next.split('=').next().unwrap_or_default();
            let has_value = next.contains('=');
            if !OPTIONS.contains(&name) && !FLAGS.contains(&name) {
                return None;
            }
            self.options.extend(self.rest.pop_front());
            if OPTIONS.contains(&name_of(self.options.last())) && !has_value {
                self.options.extend(self.rest.pop_front());
            }
        }
    }

    fn subject_first(mut self, subject: &'static str) -> Line {
        let Some(verb) = self.take_word() else {
            let asks = self.rest.front().is_none_or(|next| matches!(next.to_str(), Some("-h" | "--help")));
            return if asks { Line::Say(commands_of(self.cli, subject)) } else { self.parse(&[subject]) };
        };
        if verb == "help" {
            return Line::Say(commands_of(self.cli, subject));
        }
        self.command(&verb, subject)
    }

    /// As fedgate has it; the type may also be the second word of a command that only that type has.
    fn verb_first(mut self, verb: &str) -> Line {
        let next = self.rest.front().and_then(|next| next.to_str()).filter(|next| !next.starts_with('-'));
        let subject = next.and_then(client::word_for);
        let is_own = subject.is_some_and(|subject| {
            find(self.cli, &[subject, verb]).is_some() || alias(subject, verb).is_some()
        });
        match subject {
            Some(subject) if is_own || matches!(verb, "create" | "list" | "info" | "delete") => {
                self.rest.pop_front();
                self.command(verb, subject)
            }
            _ => self.parse(&[verb]),
        }
    }

    fn command(mut self, verb: &str, subject: &'static str) -> Line {
        if let Some(why) = refused::refused_command(subject, verb) {
            return Line::Refuse(why);
        }
        let verb = alias(subject, verb).unwrap_or(verb);
        if find(self.cli, &[subject, verb]).is_some() {
            return self.parse(&[subject, verb]);
        }
        match verb {
            "create" if find(self.cli, &["create", subject]).is_none() => {
                Line::Refuse(refused::no_options(subject))
            }
            "create" => self.parse(&["create", subject]),
            "list" | "info" | "delete" | "edit" | "dump" => {
                if subject == "silenced" {
                    silenced::arrange(verb, &mut self.rest);
                }
                self.parse(&[verb, subject])
            }
            _ => Line::Refuse(self.unknown(subject, verb)),
        }
    }

    fn unknown(&self, subject: &str, verb: &str) -> String {
        let known = verbs_of(self.cli, subject);
        let near = known.iter().min_by_key(|known| strsim::osa_distance(known, verb));
        match near.filter(|near| strsim::osa_distance(near, verb) <= 2) {
            Some(near) => {
                format!("unknown command {verb:?} for {subject}: did you mean fedgate {subject} {near}?")
            }
            None => format!("unknown command {verb:?} for {subject}: must be one of {}", known.join(", ")),
        }
    }

    /// The words, what follows them without being an option, the options that were set aside, and the rest.
    fn parse(mut self, words: &[&str]) -> Line {
        let mut line: Vec<OsString> = words.iter().map(OsString::from).collect();
        let names = self.rest.iter().take_while(|next| !next.to_string_lossy().starts_with('-')).count();
        line.extend(self.rest.drain(..names));
        // A command that asks no server needs no connection.
        if !OFFLINE.iter().any(|offline| words.starts_with(offline)) {
            line.append(&mut self.options);
        }
        line.extend(self.rest);
        Line::Parse(line)
    }
}

/// What the parser calls it.
fn alias(subject: &str, verb: &str) -> Option<&'static str> {
    match (subject, verb) {
        (_, "update") => Some("edit"),
        ("api-key", "revoke") | ("user", "disable") => Some("delete"),
        _ => None,
    }
}

fn find<'a>(cli: &'a Command, path: &[&str]) -> Option<&'a Command> {
    path.iter().try_fold(cli, |command, name| command.get_subcommands().find(|it| it.get_name() == *name))
}

/// Whether it is a command with commands of its own that is no type.
fn is_subject(cli: &Command, word: &str) -> bool {
    find(cli, &[word]).is_some_and(Command::has_subcommands) && word != "create"
}

fn name_of(option: Option<&OsString>) -> &str {
    option
        .and_then(|option| OsStr::to_str(option))
        .and_then(|option| option.split('=').next())
        .unwrap_or_default()
}

fn verbs_of(cli: &Command, subject: &str) -> Vec<String> {
    let common = ["list", "info", "create", "edit", "delete"].map(str::to_owned);
    let own = find(cli, &[subject]).into_iter().flat_map(Command::get_subcommands);
    common.into_iter().chain(own.map(|it| it.get_name().to_owned())).collect()
}

/// What `fedgate check --help` prints.
fn commands_of(cli: &Command, subject: &str) -> String {
    let mut text = "The type may come first, as in sensuctl:\n\n".to_owned();
    let has_options = find(cli, &["create", subject]).is_some();
    for (verb, what) in [
        ("list", "list them"),
        ("info", "show one"),
        ("edit", "change one in $EDITOR"),
        ("delete", "delete one"),
    ] {
        let _ = writeln!(
            text,
            "  {:<44}{what}; the same as fedgate {verb} {subject}",
            format!("fedgate {subject} {verb}")
        );
    }
    if has_options {
        let _ = writeln!(
            text,
            "  {:<44}create one from options; see --help",
            format!("fedgate {subject} create")
        );
    }
    for own in find(cli, &[subject]).into_iter().flat_map(Command::get_subcommands) {
        let about = own.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "  {:<44}{about}", format!("fedgate {subject} {}", own.get_name()));
    }
    text
}

/// Commands that ask no server.
const OFFLINE: [&[&str]; 4] = [&["version"], &["completion"], &["completions"], &["user", "hash-password"]];
/// Options with a value that sensuctl takes anywhere.
const OPTIONS: [&str; 12] = [
    "--api-key",
    "--api-url",
    "--cache-dir",
    "--config-dir",
    "--format",
    "--namespace",
    "--password-file",
    "--timeout",
    "--trusted-ca-file",
    "--url",
    "--user",
    "--username",
];
/// Those without one.
const FLAGS: [&str; 1] = ["--insecure-skip-tls-verify"];

#[cfg(test)]
mod tests;
