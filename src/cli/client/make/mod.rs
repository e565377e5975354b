//! `create TYPE NAME`: one resource from options, for which there is no file.

mod fields;

use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches, Subcommand};
use serde_json::{Map, Value, json};

pub(super) use self::fields::{Field, MAKERS, Maker, Shape};
use super::{document::Document, http::Gateway, kind::Kind, options::Connection};
use crate::cli::{Failure, USAGE, output::report};

/// A resource to be made.
#[derive(Debug)]
pub(super) struct Made {
    word: &'static str,
    name: Option<String>,
    /// What it specifies, or what is wrong with that.
    spec: Result<Map<String, Value>, String>,
    connection: Connection,
}

// === impl Made ===

impl Made {
    /// Creates it; one of that name is not replaced.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(USAGE, format!("{}: {what}", self.word));
        let kind = Kind::named(self.word).map_err(|error| Failure::new(USAGE, error))?;
        let spec = self.spec.map_err(wrong)?;
        let settings = self.connection.settings()?;
        let metadata = self.name.map_or_else(|| json!({}), |name| json!({"name": name}));
        let value = json!({"type": kind.type_name, "api_version": kind.api_version, "metadata": metadata, "spec": spec});
        let document = Document::parse(value, &settings.namespace)
            .map_err(|what| Failure::new(USAGE, format!("{} {what}", kind.type_name)))?;
        let gateway = Gateway::open(settings).await?;
        let path = kind.list_path(Some(&document.namespace));
        let done = gateway.post(&path, &document.body()).await;
        done.map_err(|failure| failure.with_context(&document.to_string()))?;
        report(&format!("created {document}\n"));
        Ok(())
    }

    fn of(maker: &'static Maker, matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let connection = Connection::from_arg_matches_mut(matches)?;
        let name = maker.is_named.then(|| matches.remove_one::<String>(NAME)).flatten();
        let mut spec = spec(maker, matches);
        let finished = spec.as_mut().map_err(|what| what.clone()).and_then(|spec| (maker.finish)(spec));
        Ok(Self { word: maker.word, name, spec: finished.and(spec), connection })
    }
}

fn spec(maker: &Maker, matches: &mut ArgMatches) -> Result<Map<String, Value>, String> {
    let mut spec = Map::new();
    for field in maker.fields {
        let given: Option<Vec<String>> = matches.remove_many(field.option).map(Iterator::collect);
        let given = given.map(|given| given.join(","));
        let Some(text) = given.as_deref().or(field.default) else { continue };
        let value = field.shape.value(text).map_err(|what| format!("--{}: {what}", field.option))?;
        spec.insert(field.key.to_owned(), value);
    }
    Ok(spec)
}

impl FromArgMatches for Made {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let found = matches.remove_subcommand();
        let maker = found.as_ref().and_then(|(word, _)| MAKERS.iter().find(|maker| maker.word == word));
        match (maker, found) {
            (Some(maker), Some((_, mut matches))) => Self::of(maker, &mut matches),
            _ => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Made {
    fn augment_subcommands(command: Command) -> Command {
        MAKERS.iter().fold(command, |command, maker| command.subcommand(subcommand(maker)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        MAKERS.iter().any(|maker| maker.word == name)
    }
}

fn subcommand(maker: &'static Maker) -> Command {
    let mut command = Command::new(maker.word);
    if maker.is_named {
        command = command.arg(Arg::new(NAME).value_name("NAME").required(true).help("Its name"));
    }
    let has = |option: &str| maker.fields.iter().any(|field| field.option == option);
    command = command.args(maker.fields.iter().map(|field| argument(maker, field)));
    // It brings a text about itself.
    command = Connection::augment_args(command).about(format!("Create one {} from options", maker.word));
    // The resource's own options are the ones that sensuctl has under that name.
    for (id, name, other) in
        [("url", "url", "api-url"), ("user", "user", "username"), ("timeout", "timeout", "api-timeout")]
    {
        if has(name) {
            command = command.mut_arg(format!("connection-{id}"), |arg| arg.long(other).alias(None));
        }
    }
    command
}

fn argument(maker: &Maker, field: &'static Field) -> Arg {
    let mut arg = Arg::new(field.option).long(field.option).value_name(field.shape.placeholder());
    if let Some(letter) = field.letter {
        arg = arg.short(letter);
    }
    let default = field.default.filter(|default| !default.is_empty());
    let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    arg = arg.required(field.required).help(format!(
        "The {}'s {}{default}",
        maker.word,
        field.option.replace('-', " ")
    ));
    match field.shape {
        Shape::Items => arg.action(ArgAction::Append),
        Shape::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Shape::Whole => arg.allow_negative_numbers(true),
        Shape::Text => arg.allow_hyphen_values(true),
    }
}

const NAME: &str = "resource-name-argument";
