//! The command line. An error is one line that says what to do; exit codes follow `sysexits.h`.

mod check;
mod client;
mod demo;
mod examples;
mod health;
mod look;
mod manual;
mod output;
mod runtime;
mod screen;
mod sensuctl;
mod serve;
mod simulate;
mod suggest;
mod text;

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};
use http::StatusCode;

use crate::{app::BuildError, config::ConfigError};

/// Federation gateway for Sensu Go: one URL in front of several clusters.
#[derive(Debug, Parser)]
// Scripts put what differs behind what they always give.
#[command(name = "fedgate", version, disable_help_subcommand = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// Run three simulated clusters with live data and the gateway in front of them
    Demo(demo::Demo),
    /// Run one simulated cluster alone, for a demo of several processes or containers
    Simulate(simulate::Simulate),
    /// Load and validate a configuration, connect to everything that it names, and report what works
    CheckConfig(ConfigFile),
    /// Ask a running gateway whether it is ready (for container health checks)
    Health(health::Health),
    #[command(flatten)]
    Client(Box<client::Command>),
    /// Print a script that completes this command in a shell
    #[command(alias = "completion")]
    Completions(manual::Completions),
    /// Print the manual page, or write one for each command
    Man(manual::Man),
    /// Print the version
    Version,
}

/// The option that names the configuration file.
#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file
    #[arg(long, short, value_name = "FILE", env = "FEDGATE_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

/// Why a command failed: the line that is printed, and the exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    line: String,
    /// The status, when it was the server that refused.
    status: Option<StatusCode>,
}

/// Runs the command that the process's arguments name.
pub fn run() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments = match sensuctl::arrange(&Cli::command(), &given) {
        sensuctl::Line::Parse(arguments) => arguments,
        sensuctl::Line::Say(text) => {
            output::report(&text);
            return ExitCode::from(if given.len() > 1 { 0 } else { USAGE });
        }
        sensuctl::Line::Refuse(why) => {
            output::note(why);
            return ExitCode::from(USAGE);
        }
    };
    let name = || OsString::from("fedgate");
    let parsed = command().try_get_matches_from(std::iter::once(name()).chain(arguments));
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(line) = suggest::instead(&error).or_else(|| sensuctl::refused(&error)) {
                output::note(line);
                return ExitCode::from(USAGE);
            }
            let _ = error.print();
            let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if wanted { 0 } else { USAGE });
        }
    };
    let done = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::CheckConfig(file) => check::run(&file),
        Command::Health(health) => health.run(),
        Command::Client(command) => command.run(),
        Command::Completions(completions) => completions.run(command()),
        Command::Man(man) => man.run(command()),
        Command::Version => output::print(concat!("fedgate version ", env!("CARGO_PKG_VERSION"), "\n")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.line.is_empty() {
                output::note(failure.line);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// The definition of the command line.
fn command() -> clap::Command {
    examples::with_examples(Cli::command())
}

/// The environment, as far as it is UTF-8.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

// === impl Failure ===

impl Failure {
    fn new(code: u8, line: impl fmt::Display) -> Self {
        Self { code, line: line.to_string(), status: None }
    }

    /// Ends the command quietly and with success: the reader of its output has closed it.
    fn quiet() -> Self {
        Self::new(0, "")
    }

    /// Whether it is such an end.
    fn is_quiet(&self) -> bool {
        self.code == 0
    }

    /// Puts what it is about before the line.
    fn with_context(self, what: &str) -> Self {
        if self.line.is_empty() { self } else { Self { line: format!("{what}: {}", self.line), ..self } }
    }

    /// Whether the server does not have it, or only Sensu's commercial edition does.
    fn is_not_found(&self) -> bool {
        matches!(self.status, Some(StatusCode::NOT_FOUND | StatusCode::PAYMENT_REQUIRED))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(CONFIG, error)
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let code = match &error {
            BuildError::Key(_)
            | BuildError::ServerTls(_)
            | BuildError::ClusterTls { .. }
            | BuildError::WebUi(_)
            | BuildError::Store(_)
            | BuildError::Etcd(_)
            | BuildError::StoreDirectory { .. } => CONFIG,
            BuildError::Bind { .. } => UNAVAILABLE,
            BuildError::System(_) | BuildError::NoWorkers => 1,
        };
        Self::new(code, error)
    }
}

const DEFAULT_CONFIG: &str = "/etc/fedgate/fedgate.yaml";

/// Wrong arguments (`EX_USAGE`).
const USAGE: u8 = 64;
/// Something cannot be reached (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// The server refuses the user (`EX_NOPERM`).
const REFUSED: u8 = 77;
/// A wrong configuration (`EX_CONFIG`).
const CONFIG: u8 = 78;
/// Done, but clusters are missing from the answer, or unhealthy.
const INCOMPLETE: u8 = 3;
