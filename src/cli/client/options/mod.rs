use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    base::Base,
    prompt::Password,
    saved::{Saved, SavedFiles, Tokens},
};
use crate::{
    cli::{CONFIG, Failure, USAGE, environment},
    types::{NamespaceRef, TlsFiles},
};

#[cfg(test)]
mod tests;

/// Where to connect and as whom. What is not given comes from sensuctl's environment variables, then from its files.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// URL of the gateway, in place of sensuctl's or `SENSU_API_URL`
    #[arg(id = "connection-url", long = "url", alias = "api-url", value_name = "URL")]
    url: Option<String>,
    /// Log in as this user; the password comes from --password-file, `FEDGATE_PASSWORD` or a prompt
    #[arg(
        id = "connection-user",
        long = "user",
        alias = "username",
        value_name = "NAME",
        conflicts_with = "api_key"
    )]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Use this API key, or `SENSU_API_KEY`
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// CA certificates to trust in place of the system's, or `SENSU_TRUSTED_CA_FILE`
    #[arg(long, value_name = "FILE")]
    trusted_ca_file: Option<PathBuf>,
    /// Accept any server certificate (not recommended)
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// How long to wait for the server, such as 15s
    #[arg(id = "connection-timeout", long = "timeout", value_name = "DURATION")]
    timeout: Option<String>,
    /// Namespace of resources that do not name one; `NAMESPACE@CLUSTER` is on another cluster
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Directory of sensuctl's files, in place of ~/.config/sensu/sensuctl or `SENSU_CONFIG_DIR`
    #[arg(long, value_name = "DIRECTORY")]
    config_dir: Option<PathBuf>,
    /// Where sensuctl keeps what it downloads; fedgate keeps nothing
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    cache_dir: Option<PathBuf>,
}

/// The option of commands that print resources.
#[derive(Debug, Default, Args)]
pub(super) struct Output {
    /// How to print
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
}

/// How resources are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table
    Tabular,
    /// Documents in the wrapped form, which `create -f` takes
    Yaml,
    /// What the API answers
    Json,
    /// Objects in the wrapped form, one after another, which `create -f` takes
    WrappedJson,
}

/// What a command needs before it connects.
pub(super) struct Settings {
    /// Where.
    pub(super) base: Base,
    /// The user's credential.
    pub(super) credential: Credential,
    /// Certificates.
    pub(super) tls: TlsFiles,
    /// Time limit for a connection, for an answer, and for its next part.
    pub(super) timeout: Duration,
    /// Namespace of resources that do not name one.
    pub(super) namespace: String,
    /// How to print, unless the command says.
    pub(super) format: Format,
}

/// The user's credential.
pub(super) enum Credential {
    /// An API key.
    Key(String),
    /// Log in first; the password is asked for when it is needed.
    User {
        /// The user.
        name: String,
        /// Where the password is.
        password: Password,
    },
    /// The tokens of sensuctl's login, and where they are kept.
    Saved {
        /// What was saved.
        tokens: Tokens,
        /// Where.
        files: SavedFiles,
        /// The URL that renews them.
        base: Base,
    },
}

/// What is known of a login that is to be made.
pub(super) struct Login {
    /// Where it is to be kept.
    pub(super) files: SavedFiles,
    /// The server.
    pub(super) url: Option<String>,
    /// The user.
    pub(super) user: Option<String>,
    /// Their password.
    pub(super) password: Option<String>,
}

/// The environment.
struct Variables<'a>(&'a BTreeMap<String, String>);

// === impl Connection ===

impl Connection {
    /// Completes the options from the environment and sensuctl's files.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.settings_in(&self.environment())
    }

    /// The same for a command whose answer may take this long. What sensuctl has saved is about its own answers; who sets a
    /// time limit for this command knows better.
    pub(super) fn patient_settings(&self, patience: Duration) -> Result<Settings, Failure> {
        self.patient_settings_in(&self.environment(), patience)
    }

    fn patient_settings_in(
        &self,
        environment: &BTreeMap<String, String>,
        patience: Duration,
    ) -> Result<Settings, Failure> {
        let mut settings = self.settings_in(environment)?;
        if self.timeout.is_none() && Variables(environment).get("SENSU_TIMEOUT").is_none() {
            settings.timeout = settings.timeout.max(patience);
        }
        Ok(settings)
    }

    /// The environment, as far as options do not replace it.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = environment();
        if let Some(directory) = &self.config_dir {
            environment.insert("SENSU_CONFIG_DIR".to_owned(), directory.to_string_lossy().into_owned());
        }
        environment
    }

    /// What `configure` has been told. sensuctl has variables of its own for that.
    pub(super) fn login(&self) -> Result<Login, Failure> {
        let environment = self.environment();
        let variables = Variables(&environment);
        let none = || Failure::new(CONFIG, "no home directory to keep the login in: give --config-dir");
        let files = SavedFiles::locate(&environment).ok_or_else(none)?;
        let first = |names: [&str; 2]| names.iter().find_map(|name| variables.get(name)).cloned();
        let saved = || files.read(false).ok().and_then(|saved| saved.url);
        Ok(Login {
            url: self.url.clone().or_else(|| first(["SENSU_URL", "SENSU_API_URL"])).or_else(saved),
            user: self.user.clone().or_else(|| variables.get("SENSU_USERNAME").cloned()),
            password: variables.get("SENSU_PASSWORD").cloned(),
            files,
        })
    }

    /// How to print, for commands that ask no server.
    pub(super) fn format(&self) -> Format {
        let environment = self.environment();
        let files = SavedFiles::locate(&environment);
        let saved = files.and_then(|files| files.read(false).ok()).unwrap_or_default();
        format(&Variables(&environment), &saved)
    }

    /// The settings of a login that is made: nothing of the one before it is used but format, namespace and timeout.
    pub(super) fn settings_of(&self, url: &str, credential: Credential) -> Result<Settings, Failure> {
        let environment = self.environment();
        let variables = Variables(&environment);
        let files = SavedFiles::locate(&environment);
        let saved = files.and_then(|files| files.read(false).ok()).unwrap_or_default();
        let kept = Saved {
            format: saved.format,
            namespace: saved.namespace,
            timeout: saved.timeout,
            ..Saved::default()
        };
        Ok(Settings {
            timeout: self.timeout(&variables, &kept)?,
            namespace: self.namespace(&variables, &kept)?,
            format: format(&variables, &kept),
            tls: self.tls(&variables, &kept),
            base: parse_url(url, USAGE, "--url")?,
            credential,
        })
    }

    /// Where the password of `--user` is.
    pub(super) fn password(&self) -> Password {
        self.password_file.clone().map_or(Password::Ask, Password::File)
    }

    /// Whether a file has it.
    pub(super) fn has_password_file(&self) -> bool {
        self.password_file.is_some()
    }

    fn settings_in(&self, environment: &BTreeMap<String, String>) -> Result<Settings, Failure> {
        if self.password_file.is_some() && self.user.is_none() {
            return Err(Failure::new(USAGE, "--password-file is the file of a user: give --user"));
        }
        let variables = Variables(environment);
        let files = SavedFiles::locate(environment);
        // With everything given, broken files of sensuctl do not matter.
        let is_needed = !self.is_complete(&variables);
        let (mut saved, saved_base) = match &files {
            Some(files) => read(files, is_needed)?,
            None => Default::default(),
        };
        let base = self.base(&variables, saved_base.as_ref())?;
        // What was saved for one server must not be sent to another, or make it trusted.
        let saved_base = saved_base.filter(|saved| saved.is_same_server(&base));
        if saved_base.is_none() {
            saved = Saved { format: saved.format, namespace: saved.namespace, ..Saved::default() };
        }
        Ok(Settings {
            timeout: self.timeout(&variables, &saved)?,
            namespace: self.namespace(&variables, &saved)?,
            format: format(&variables, &saved),
            tls: self.tls(&variables, &saved),
            credential: self.credential(&variables, files, saved, saved_base, &base)?,
            base,
        })
    }

    /// Whether server and credential are given without sensuctl's files.
    fn is_complete(&self, variables: &Variables<'_>) -> bool {
        let has_url = self.url.is_some() || variables.get("SENSU_API_URL").is_some();
        let has_key = self.api_key.is_some() || variables.get("SENSU_API_KEY").is_some();
        has_url && (has_key || self.user.is_some())
    }

    fn base(&self, variables: &Variables<'_>, saved: Option<&Base>) -> Result<Base, Failure> {
        match (&self.url, variables.get("SENSU_API_URL"), saved) {
            (Some(url), _, _) => parse_url(url, USAGE, "--url"),
            (None, Some(url), _) => parse_url(url, CONFIG, "SENSU_API_URL"),
            (None, None, Some(base)) => Ok(base.clone()),
            (None, None, None) => {
                Err(Failure::new(CONFIG, "no server: log in with fedgate configure, or give --url"))
            }
        }
    }

    fn tls(&self, variables: &Variables<'_>, saved: &Saved) -> TlsFiles {
        let ca = variables.get("SENSU_TRUSTED_CA_FILE").or(saved.trusted_ca_file.as_ref()).map(PathBuf::from);
        let insecure = variables.get("SENSU_INSECURE_SKIP_TLS_VERIFY").is_some_and(|value| is_true(value));
        TlsFiles {
            trusted_ca_file: self.trusted_ca_file.clone().or(ca),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify || insecure || saved.insecure,
            ..TlsFiles::default()
        }
    }

    fn credential(
        &self,
        variables: &Variables<'_>,
        files: Option<SavedFiles>,
        saved: Saved,
        saved_base: Option<Base>,
        base: &Base,
    ) -> Result<Credential, Failure> {
        if let Some(name) = &self.user {
            return Ok(Credential::User { name: name.clone(), password: self.password() });
        }
        let key = self.api_key.clone().or_else(|| variables.get("SENSU_API_KEY").cloned()).or(saved.api_key);
        match (key, saved.tokens, saved_base.zip(files)) {
            (Some(key), _, _) => Ok(Credential::Key(key)),
            (None, Some(tokens), Some((base, files))) => Ok(Credential::Saved { tokens, files, base }),
            _ => {
                let line =
                    format!("not logged in to {base}: give --user or --api-key, or run fedgate configure");
                Err(Failure::new(CONFIG, line))
            }
        }
    }

    fn timeout(&self, variables: &Variables<'_>, saved: &Saved) -> Result<Duration, Failure> {
        let (text, code, what) = match (&self.timeout, variables.get("SENSU_TIMEOUT")) {
            (Some(text), _) => (text, USAGE, "--timeout"),
            (None, Some(text)) => (text, CONFIG, "SENSU_TIMEOUT"),
            (None, None) => return Ok(saved.timeout.unwrap_or(DEFAULT_TIMEOUT)),
        };
        let bad = || Failure::new(code, format!("{what} must be a duration such as 15s or 1m30s"));
        duration(text).ok_or_else(bad)
    }

    fn namespace(&self, variables: &Variables<'_>, saved: &Saved) -> Result<String, Failure> {
        let (text, code) = match (&self.namespace, variables.get("SENSU_NAMESPACE"), &saved.namespace) {
            (Some(text), _, _) => (text, USAGE),
            (None, Some(text), _) | (None, None, Some(text)) => (text, CONFIG),
            (None, None, None) => return Ok("default".to_owned()),
        };
        NamespaceRef::parse(text).map(|_| text.clone()).map_err(|error| Failure::new(code, error))
    }
}

// === impl Format ===

impl Format {
    /// What sensuctl calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tabular => "tabular",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::WrappedJson => "wrapped-json",
        }
    }
}

// === impl Variables ===

impl<'a> Variables<'a> {
    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<&'a String> {
        self.0.get(name).filter(|value| !value.is_empty())
    }
}

/// What is saved, and its URL.
fn read(files: &SavedFiles, is_needed: bool) -> Result<(Saved, Option<Base>), Failure> {
    let saved = files.read(is_needed).map_err(|error| Failure::new(CONFIG, error))?;
    let what = format!("the URL in {}", files.cluster().display());
    match saved.url.as_ref().map(|url| parse_url(url, CONFIG, &what)).transpose() {
        Err(_) if !is_needed => Ok((saved, None)),
        base => Ok((saved, base?)),
    }
}

fn parse_url(text: &str, code: u8, what: &str) -> Result<Base, Failure> {
    text.parse().map_err(|_| {
        let line =
            format!("{what} must be http:// or https:// with a host, such as https://gateway.example.com");
        Failure::new(code, line)
    })
}

fn format(variables: &Variables<'_>, saved: &Saved) -> Format {
    let named = variables.get("SENSU_FORMAT").or(saved.format.as_ref());
    named.and_then(|format| Format::from_str(format, false).ok()).unwrap_or(Format::Tabular)
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// A duration as Go writes it: `1m30s`, `1.5h`, `500ms`. Zero is refused.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero() && *duration <= LONGEST)
}

/// Longer than the gateway gives its clusters.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
