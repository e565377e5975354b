//! `config`: what is saved besides the login.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::save;
use crate::{
    cli::{
        CONFIG, Failure, USAGE,
        client::{
            http::Caller,
            options::{Connection, Credential, Format, Output, duration},
            print::{pretty, yaml_text},
            saved::SavedFiles,
            table,
        },
        look::Look,
        output::{print, report},
    },
    types::NamespaceRef,
};

/// `fedgate config`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Config {
    /// Show what is used
    View(View),
    /// Print lists in this format from now on
    SetFormat(SetFormat),
    /// Use this namespace from now on
    SetNamespace(SetNamespace),
    /// Wait this long for the server from now on
    SetTimeout(SetTimeout),
}

/// `fedgate config view`.
#[derive(Debug, Args)]
pub(in crate::cli) struct View {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate config set-format`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetFormat {
    /// How to print
    #[arg(value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate config set-namespace`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetNamespace {
    /// Namespace; `NAMESPACE@CLUSTER` is on another cluster
    #[arg(id = "saved-namespace", value_name = "NAMESPACE")]
    namespace: String,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate config set-timeout`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetTimeout {
    /// Such as 15s or 1m30s
    #[arg(id = "saved-timeout", value_name = "DURATION")]
    timeout: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl Config ===

impl Config {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let (connection, cluster, profile) = match self {
            Self::View(view) => return view.run(),
            Self::SetFormat(it) => (it.connection, json!({}), json!({"format": it.format.name()})),
            Self::SetNamespace(it) => {
                NamespaceRef::parse(&it.namespace).map_err(|error| Failure::new(USAGE, error))?;
                (it.connection, json!({}), json!({"namespace": it.namespace}))
            }
            Self::SetTimeout(it) => {
                let wrong = || Failure::new(USAGE, "the timeout must be a duration such as 15s or 1m30s");
                let timeout = duration(&it.timeout).ok_or_else(wrong)?;
                let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
                (it.connection, json!({"timeout": nanoseconds}), json!({}))
            }
        };
        save(&located(&connection)?, cluster, profile)?;
        report("saved\n");
        Ok(())
    }
}

// === impl View ===

impl View {
    fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let (user, expires_at) = match &settings.credential {
            Credential::Saved { tokens, .. } => {
                (Caller::of_token(&tokens.access).map(|caller| caller.user), tokens.expires_at)
            }
            Credential::User { name, .. } => (Some(name.clone()), 0),
            Credential::Key(_) => (None, 0),
        };
        let shown = [
            ("API URL", "api-url", settings.base.to_string()),
            ("Namespace", "namespace", settings.namespace),
            ("Format", "format", settings.format.name().to_owned()),
            ("Timeout", "timeout", shown_duration(settings.timeout)),
            ("Username", "username", user.unwrap_or_default()),
            ("JWT Expiration Timestamp", "jwt_expires_at", expires_at.to_string()),
        ];
        let value: Value = shown
            .iter()
            .map(|(_, key, text)| ((*key).to_owned(), text.as_str().into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        match self.output.format.unwrap_or(settings.format) {
            Format::Tabular => {
                let pairs: Vec<(String, table::Cell)> =
                    shown.into_iter().map(|(label, _, text)| (label.to_owned(), text.into())).collect();
                print(&table::pairs(&pairs, &Look::stdout()))
            }
            Format::Yaml => print(&yaml_text(&value)),
            Format::Json | Format::WrappedJson => print(&format!("{}\n", pretty(&value))),
        }
    }
}

fn located(connection: &Connection) -> Result<SavedFiles, Failure> {
    let none = || Failure::new(CONFIG, "no home directory to keep the login in: give --config-dir");
    SavedFiles::locate(&connection.environment()).ok_or_else(none)
}

/// As Go writes durations: `1m30s`.
pub(super) fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = duration.as_secs_f64() - Duration::from_secs(seconds / 60 * 60).as_secs_f64();
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}
