use std::{fs, io, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{located, wrong};
use crate::cli::{
    CONFIG, Failure,
    client::{
        answer::Answer,
        http::Gateway,
        make::{Field, MAKERS, Shape},
        options::Connection,
    },
    output::report,
};

/// `fedgate check …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CheckCommand {
    /// Let a check run now
    Execute(Execute),
    /// Set the hooks of a check for a result
    SetHooks(SetHooks),
    /// Remove a hook from a check
    RemoveHook(RemoveHook),
    /// Set for which entities a check runs by proxy, from a file of JSON or the standard input
    SetProxyRequests(SetProxyRequests),
    /// Do not run a check by proxy
    RemoveProxyRequests(Named),
    #[command(flatten)]
    Change(Change),
}

/// `fedgate check execute`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Execute {
    #[command(flatten)]
    named: Named,
    /// Why
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// Subscriptions, with commas between them, in place of the check's
    #[arg(long, short, value_name = "NAME,…", value_delimiter = ',')]
    subscriptions: Vec<String>,
}

/// A check.
#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// The check
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate check set-hooks`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetHooks {
    #[command(flatten)]
    named: Named,
    /// The result: 0 to 255, ok, warning, critical, unknown, non-zero
    #[arg(long = "type", short = 't', value_name = "RESULT")]
    result: String,
    /// Hooks, with commas between them
    #[arg(long, short = 'k', value_name = "NAME,…", value_delimiter = ',')]
    hooks: Vec<String>,
}

/// `fedgate check remove-hook`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveHook {
    #[command(flatten)]
    named: Named,
    /// The result
    #[arg(value_name = "TYPE")]
    result: String,
    /// The hook
    #[arg(value_name = "HOOK")]
    hook: String,
}

/// `fedgate check set-proxy-requests`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetProxyRequests {
    #[command(flatten)]
    named: Named,
    /// JSON such as {"`entity_attributes"`: […]}; without it, the standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// `fedgate check set-interval`, `fedgate check remove-ttl`, …: one field of a check.
#[derive(Debug)]
pub(in crate::cli) struct Change {
    field: &'static Field,
    /// The value to set; none removes.
    value: Option<String>,
    named: Named,
}

// === impl CheckCommand ===

impl CheckCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Execute(it) => {
                let body = json!({"name": it.named.name, "reason": it.reason.unwrap_or_default(), "subscriptions": it.subscriptions});
                it.named.send(Method::POST, "/execute", Some(&body), "issued").await
            }
            Self::SetHooks(it) => {
                let body = json!({ &it.result: it.hooks });
                let below = format!("/hooks/{}", escaped(&it.result));
                it.named.send(Method::PUT, &below, Some(&body), "updated").await
            }
            Self::RemoveHook(it) => {
                let below = format!("/hooks/{}/hook/{}", escaped(&it.result), escaped(&it.hook));
                it.named.send(Method::DELETE, &below, None, "updated").await
            }
            Self::SetProxyRequests(it) => {
                let mut requests = it.read()?;
                if requests["splay_coverage"].as_u64().unwrap_or_default() == 0 {
                    requests["splay_coverage"] = DEFAULT_SPLAY.into();
                }
                it.named.patch(&json!({"proxy_requests": requests})).await
            }
            Self::RemoveProxyRequests(it) => it.without("proxy_requests").await,
            Self::Change(change) => change.run().await,
        }
    }
}

// === impl Named ===

impl Named {
    async fn send(
        self,
        method: Method,
        below: &str,
        body: Option<&Value>,
        done: &str,
    ) -> Result<(), Failure> {
        let (settings, path) = located(&self.connection, "check", std::slice::from_ref(&self.name))?;
        let gateway = Gateway::open(settings).await?;
        let answer = gateway.send(method, &format!("{path}{below}"), body, None).await;
        self.finish(answer, done)
    }

    async fn patch(self, change: &Value) -> Result<(), Failure> {
        let (settings, path) = located(&self.connection, "check", std::slice::from_ref(&self.name))?;
        let gateway = Gateway::open(settings).await?;
        let answer = gateway.patch(&path, change, None).await;
        self.finish(answer, "updated")
    }

    /// Writes the check without a key: a patch cannot remove one from it.
    async fn without(self, key: &str) -> Result<(), Failure> {
        let (settings, path) = located(&self.connection, "check", std::slice::from_ref(&self.name))?;
        let gateway = Gateway::open(settings).await?;
        let written = async {
            let mut check = gateway.get(&path).await?.json()?;
            if let Some(check) = check.as_object_mut() {
                check.shift_remove(key);
                check.shift_remove("cluster");
            }
            gateway.put(&path, &check).await
        };
        let written = written.await;
        self.finish(written, "updated")
    }

    fn finish(&self, answer: Result<Answer, Failure>, done: &str) -> Result<(), Failure> {
        let title = format!("check {:?}", self.name);
        answer.and_then(Answer::success).map_err(|failure| failure.with_context(&title))?;
        report(&format!("{done} {title}\n"));
        Ok(())
    }
}

// === impl SetProxyRequests ===

impl SetProxyRequests {
    fn read(&self) -> Result<Value, Failure> {
        let text = match &self.file {
            Some(file) => fs::read_to_string(file)
                .map_err(|error| Failure::new(CONFIG, format!("cannot read {}: {error}", file.display())))?,
            None => io::read_to_string(io::stdin())
                .map_err(|error| Failure::new(1, format!("standard input: {error}")))?,
        };
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| Failure::new(CONFIG, format!("the proxy requests are no JSON: {error}")))?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(Failure::new(CONFIG, "the proxy requests are no JSON object"))
        }
    }
}

// === impl Change ===

impl Change {
    async fn run(self) -> Result<(), Failure> {
        let value = match &self.value {
            Some(text) => self
                .field
                .shape
                .value(text)
                .map_err(|what| wrong(format!("{}: {what}", self.field.option)))?,
            None => self.field.shape.nothing(),
        };
        let mut change = json!({});
        // As sensuctl: a check has one or the other.
        match (self.field.key, &self.value) {
            ("interval", Some(_)) => change["cron"] = "".into(),
            ("cron", Some(_)) => change["interval"] = 0.into(),
            _ => {}
        }
        change[self.field.key] = value;
        self.named.patch(&change).await
    }

    fn of(name: &str, matches: &mut ArgMatches) -> Option<Self> {
        let (verb, option) = name.split_once('-')?;
        let field = fields().find(|field| field.option == option)?;
        let value = if verb == "set" { matches.remove_one::<String>(VALUE) } else { None };
        Some(Self { field, value, named: Named::from_arg_matches_mut(matches).ok()? })
    }
}

impl FromArgMatches for Change {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let found = matches.remove_subcommand().and_then(|(name, mut matches)| Self::of(&name, &mut matches));
        found.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Change {
    fn augment_subcommands(command: Command) -> Command {
        fields().fold(command, |command, field| {
            let named = |verb: &str| {
                // What it brings about itself, and the heading of its options, are not those of the command.
                let named = Named::augment_args(Command::new(format!("{verb}-{}", field.option)));
                named.next_help_heading(None::<&str>)
            };
            let what = field.option.replace('-', " ");
            let set = named("set").about(format!("Set the {what} of a check")).arg(argument(field));
            let command = command.subcommand(set);
            if !is_removable(field) {
                return command;
            }
            command.subcommand(named("remove").about(format!("Remove the {what} of a check")))
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        let option = |name: &str, verb: &str| name.strip_prefix(verb).map(str::to_owned);
        let set = option(name, "set-").is_some_and(|option| fields().any(|field| field.option == option));
        let removed = option(name, "remove-");
        set || removed
            .is_some_and(|option| fields().any(|field| field.option == option && is_removable(field)))
    }
}

fn argument(field: &Field) -> Arg {
    let arg = Arg::new(VALUE).value_name(field.shape.placeholder()).required(true);
    let arg = arg.help("What to set it to");
    arg.allow_hyphen_values(field.shape == Shape::Text).allow_negative_numbers(true)
}

/// The fields of a check.
fn fields() -> impl Iterator<Item = &'static Field> {
    MAKERS.iter().filter(|maker| maker.word == "check").flat_map(|maker| maker.fields)
}

/// A check cannot be without the others.
fn is_removable(field: &Field) -> bool {
    !field.required && field.shape != Shape::Switch && !matches!(field.key, "interval" | "cron")
}

fn escaped(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

const VALUE: &str = "new-value";
/// sensuctl's, in percent of the interval.
const DEFAULT_SPLAY: u32 = 90;
