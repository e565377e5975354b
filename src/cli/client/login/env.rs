//! `env`: the login as variables for a shell.

use clap::{Args, ValueEnum};

use super::config::shown_duration;
use crate::cli::{
    Failure,
    client::{
        http::Gateway,
        options::{Connection, Credential},
    },
    output::print,
};

/// `fedgate env`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Env {
    /// Shell that is to read it [default: that of the environment]
    #[arg(long, value_name = "SHELL")]
    shell: Option<ShellName>,
    #[command(flatten)]
    connection: Connection,
}

/// What a shell calls an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ShellName {
    /// bash, and every other shell of POSIX
    Bash,
    /// Windows' command line
    Cmd,
    /// `PowerShell`
    Powershell,
}

// === impl Env ===

impl Env {
    /// Prints what a shell evaluates: `eval "$(fedgate env)"`.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let key = match &settings.credential {
            Credential::Key(key) => key.clone(),
            _ => String::new(),
        };
        let tls = settings.tls.clone();
        let mut variables = vec![
            ("SENSU_API_URL", settings.base.to_string()),
            ("SENSU_NAMESPACE", settings.namespace.clone()),
            ("SENSU_FORMAT", settings.format.name().to_owned()),
            ("SENSU_API_KEY", key),
        ];
        let timeout = shown_duration(settings.timeout);
        let tokens = Gateway::open(settings).await?.tokens().await?;
        let tokens = tokens.map(|tokens| (tokens.access, tokens.expires_at.to_string(), tokens.refresh));
        let (access, expires_at, refresh) = tokens.unwrap_or_default();
        let ca = tls.trusted_ca_file.map(|path| path.display().to_string()).unwrap_or_default();
        variables.extend([
            ("SENSU_ACCESS_TOKEN", access),
            ("SENSU_ACCESS_TOKEN_EXPIRES_AT", expires_at),
            ("SENSU_REFRESH_TOKEN", refresh),
            ("SENSU_TRUSTED_CA_FILE", ca),
            ("SENSU_INSECURE_SKIP_TLS_VERIFY", tls.insecure_skip_tls_verify.to_string()),
            ("SENSU_TIMEOUT", timeout),
        ]);
        let shell = self.shell.unwrap_or(ShellName::Bash);
        let lines: String = variables.iter().map(|(name, value)| shell.assignment(name, value)).collect();
        print(&format!("{lines}{}\n", shell.hint()))
    }
}

// === impl ShellName ===

impl ShellName {
    /// Quoted so that nothing in the value is evaluated.
    fn assignment(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash => format!("export {name}='{}'\n", value.replace('\'', "'\\''")),
            Self::Cmd => format!("SET {name}={value}\n"),
            Self::Powershell => format!("$Env:{name} = '{}'\n", value.replace('\'', "''")),
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Bash => "# Run this command to configure your shell:\n# eval \"$(fedgate env)\"",
            Self::Cmd => {
                "REM Run this command to configure your shell:\nREM @FOR /f \"tokens=*\" %i IN ('fedgate env --shell cmd') DO @%i"
            }
            Self::Powershell => {
                "# Run this command to configure your shell:\n# & fedgate env --shell powershell | Invoke-Expression"
            }
        }
    }
}
