use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    base::Base,
    saved::{Saved, SavedFiles, Tokens},
};
use crate::{
    cli::{CONFIG, Failure, USAGE, environment},
    types::{NamespaceRef, TlsFiles},
};

/// Where to connect and as whom. What is not given comes from sensuctl's environment variables, then from its files.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// URL of the gateway, in place of sensuctl's or `SENSU_API_URL`
    #[arg(long, alias = "api-url", value_name = "URL")]
    url: Option<String>,
    /// Log in as this user; the password comes from --password-file, `FEDGATE_PASSWORD` or a prompt
    #[arg(long, alias = "username", value_name = "NAME", conflicts_with = "api_key")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
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
    /// Longest wait for the server, such as 15s
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Namespace of what names none; `NAMESPACE@CLUSTER` is another cluster's
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
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

/// Everything that a command needs to know before it connects.
pub(super) struct Settings {
    /// Where.
    pub(super) base: Base,
    /// As whom.
    pub(super) credential: Credential,
    /// Certificates.
    pub(super) tls: TlsFiles,
    /// Longest wait for a connection, for an answer, and for its next part.
    pub(super) timeout: Duration,
    /// Namespace of what names none.
    pub(super) namespace: String,
    /// How to print, unless the command says.
    pub(super) format: Format,
}

/// As whom to speak.
pub(super) enum Credential {
    /// An API key.
    Key(String),
    /// Log in first; the password is asked for when it is needed.
    User {
        /// The user.
        name: String,
        /// Where the password is, unless in the environment.
        password_file: Option<PathBuf>,
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

/// The environment.
struct Variables<'a>(&'a BTreeMap<String, String>);

// === impl Connection ===

impl Connection {
    /// Completes the options from the environment and sensuctl's files.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.settings_in(&environment())
    }

    fn settings_in(&self, environment: &BTreeMap<String, String>) -> Result<Settings, Failure> {
        let files = SavedFiles::locate(environment);
        let mut saved = files.read().map_err(|error| Failure::new(CONFIG, error))?;
        let saved_base = match &saved.url {
            Some(url) => Some(parse_url(url, CONFIG, &format!("the URL in {}", files.cluster().display()))?),
            None => None,
        };
        let variables = Variables(environment);
        let base = self.base(&variables, saved_base.as_ref())?;
        // What was saved for one server must not reach, or make trusted, another.
        let saved_base = saved_base.filter(|saved| saved.is_same_server(&base));
        if saved_base.is_none() {
            saved = Saved { format: saved.format, namespace: saved.namespace, ..Saved::default() };
        }
        Ok(Settings {
            timeout: self.timeout(&variables, &saved)?,
            namespace: self.namespace(&variables, &saved)?,
            format: variables
                .get("SENSU_FORMAT")
                .or(saved.format.as_ref())
                .and_then(|format| Format::from_str(format, false).ok())
                .unwrap_or(Format::Tabular),
            tls: self.tls(&variables, &saved),
            credential: self.credential(&variables, files, saved, saved_base, &base)?,
            base,
        })
    }

    fn base(&self, variables: &Variables<'_>, saved: Option<&Base>) -> Result<Base, Failure> {
        match (&self.url, variables.get("SENSU_API_URL"), saved) {
            (Some(url), _, _) => parse_url(url, USAGE, "--url"),
            (None, Some(url), _) => parse_url(url, CONFIG, "SENSU_API_URL"),
            (None, None, Some(base)) => Ok(base.clone()),
            (None, None, None) => {
                Err(Failure::new(CONFIG, "no server: log in with sensuctl configure, or give --url"))
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
        files: SavedFiles,
        saved: Saved,
        saved_base: Option<Base>,
        base: &Base,
    ) -> Result<Credential, Failure> {
        if let Some(name) = &self.user {
            let password_file = self.password_file.clone();
            return Ok(Credential::User { name: name.clone(), password_file });
        }
        let key = self.api_key.clone().or_else(|| variables.get("SENSU_API_KEY").cloned()).or(saved.api_key);
        match (key, saved.tokens, saved_base) {
            (Some(key), _, _) => Ok(Credential::Key(key)),
            (None, Some(tokens), Some(base)) => Ok(Credential::Saved { tokens, files, base }),
            _ => {
                let line =
                    format!("not logged in to {base}: give --user or --api-key, or run sensuctl configure");
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

// === impl Variables ===

impl<'a> Variables<'a> {
    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<&'a String> {
        self.0.get(name).filter(|value| !value.is_empty())
    }
}

fn parse_url(text: &str, code: u8, what: &str) -> Result<Base, Failure> {
    text.parse().map_err(|_| {
        let line =
            format!("{what} must be http:// or https:// with a host, such as https://gateway.example.com");
        Failure::new(code, line)
    })
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// A duration as Go writes it: `1m30s`, `1.5h`, `500ms`. Zero is none.
fn duration(text: &str) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new(url: &str) -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            let cluster = json!({"api-url": url, "trusted-ca-file": "/saved/ca.pem",
                "insecure-skip-tls-verify": true, "access_token": "a", "expires_at": 1, "refresh_token": "r",
                "timeout": 7_000_000_000_u64});
            fs::write(home.0.path().join("cluster"), cluster.to_string()).unwrap();
            fs::write(home.0.path().join("profile"), r#"{"format":"wrapped-json","namespace":"ops"}"#)
                .unwrap();
            home
        }

        fn settings(&self, connection: &Connection, more: &[(&str, &str)]) -> Result<Settings, Failure> {
            let directory = self.0.path().display().to_string();
            let mut environment = BTreeMap::from([("SENSU_CONFIG_DIR".to_owned(), directory)]);
            environment.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
            connection.settings_in(&environment)
        }
    }

    fn to(url: &str) -> Connection {
        Connection { url: Some(url.to_owned()), ..Connection::default() }
    }

    #[test]
    fn without_options_all_is_as_sensuctl_saved_it() {
        let settings = Home::new("https://gw").settings(&Connection::default(), &[]).unwrap();
        assert_eq!(settings.base.to_string(), "https://gw");
        assert!(matches!(settings.credential, Credential::Saved { .. }));
        assert_eq!(settings.tls.trusted_ca_file, Some("/saved/ca.pem".into()));
        assert!(settings.tls.insecure_skip_tls_verify);
        assert_eq!((settings.timeout, settings.namespace.as_str()), (Duration::from_secs(7), "ops"));
        assert_eq!(settings.format, Format::WrappedJson);
    }

    #[test]
    fn environment_beats_files_and_flags_beat_both() {
        let home = Home::new("https://gw");
        let variables = [
            ("SENSU_API_URL", "https://gw/c/alpha"),
            ("SENSU_NAMESPACE", "web"),
            ("SENSU_TIMEOUT", "1m30s"),
            ("SENSU_FORMAT", "json"),
            ("SENSU_API_KEY", "key"),
        ];
        let settings = home.settings(&Connection::default(), &variables).unwrap();
        assert_eq!(settings.base.to_string(), "https://gw/c/alpha");
        assert_eq!((settings.namespace.as_str(), settings.timeout.as_secs()), ("web", 90));
        assert_eq!(settings.format, Format::Json);
        assert!(matches!(settings.credential, Credential::Key(key) if key == "key"));
        let flags = Connection {
            user: Some("ann".into()),
            namespace: Some("d@beta".into()),
            timeout: Some("2s".into()),
            ..to("https://gw")
        };
        let settings = home.settings(&flags, &variables).unwrap();
        assert_eq!((settings.namespace.as_str(), settings.timeout.as_secs()), ("d@beta", 2));
        assert!(matches!(settings.credential, Credential::User { name, .. } if name == "ann"));
    }

    #[test]
    fn nothing_that_was_saved_goes_to_another_server() {
        let home = Home::new("https://gw");
        for url in ["https://evil", "http://gw", "https://gw:8443"] {
            let refused = home.settings(&to(url), &[]).err().unwrap();
            assert!(refused.line.starts_with("not logged in to "), "{url}: {}", refused.line);
            let variables = [("SENSU_API_URL", url)];
            assert!(home.settings(&Connection::default(), &variables).is_err(), "{url}");
        }
        let other = Connection { user: Some("ann".into()), ..to("https://other") };
        let settings = home.settings(&other, &[]).unwrap();
        assert_eq!(settings.tls, TlsFiles::default());
        // Another path of the same server may, and what renews the tokens stays.
        let settings = home.settings(&to("https://GW:443/c/alpha/"), &[]).unwrap();
        let Credential::Saved { base, .. } = settings.credential else { panic!() };
        assert_eq!((base.prefix.as_str(), settings.base.prefix.as_str()), ("", "/c/alpha"));
    }

    #[test]
    fn mistakes_have_the_code_of_where_they_were_made() {
        let home = Home::new("https://gw");
        let code = |connection: &Connection, variables: &[(&str, &str)]| {
            home.settings(connection, variables).err().unwrap().code
        };
        assert_eq!(code(&to("gw:8080"), &[]), USAGE);
        assert_eq!(code(&Connection::default(), &[("SENSU_API_URL", "gw")]), CONFIG);
        assert_eq!(
            code(&Connection { namespace: Some("a@b@c".into()), ..Connection::default() }, &[]),
            USAGE
        );
        assert_eq!(code(&Connection { timeout: Some("soon".into()), ..Connection::default() }, &[]), USAGE);
        assert_eq!(Connection::default().settings_in(&BTreeMap::new()).err().unwrap().code, CONFIG);
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, millis) in [("15s", 15_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "15", "s", "0s", "-1s", "1d", "1..5s", "99999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
