//! The saved login: made, shown, changed and ended as sensuctl does, in the same files.

mod config;
mod env;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

pub(super) use self::{config::Config, env::Env};
use super::{
    http::Gateway,
    options::{Connection, Credential, Format, Login},
    prompt::{self, Password},
    saved::SavedFiles,
};
use crate::cli::{CONFIG, Failure, REFUSED, USAGE, output::report};

/// `fedgate configure`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Configure {
    /// Do not ask for what is missing
    #[arg(long, short)]
    non_interactive: bool,
    /// Password, or `SENSU_PASSWORD`; others may see it in the list of processes: --password-file is safer
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_file")]
    password: Option<String>,
    /// How lists are printed from now on
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate logout`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Logout {
    #[command(flatten)]
    connection: Connection,
}

// === impl Configure ===

impl Configure {
    /// Logs in, and saves that.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let asks = !self.non_interactive;
        let Login { files, url, user, password } = self.connection.login()?;
        let ask = |found: Option<String>, label: &str, option: &str| {
            let found = found.or_else(|| if asks { prompt::line(label) } else { None });
            found.ok_or_else(|| Failure::new(USAGE, format!("no {label}: give {option}")))
        };
        let url = ask(url, "URL", "--url")?;
        let user = ask(user, "username", "--username")?;
        let password = match self.password.or(password) {
            Some(password) => Password::Given(password),
            None if asks
                || self.connection.has_password_file()
                || std::env::var_os("FEDGATE_PASSWORD").is_some() =>
            {
                self.connection.password()
            }
            None => return Err(Failure::new(USAGE, "no password: give --password-file or SENSU_PASSWORD")),
        };
        let settings =
            self.connection.settings_of(&url, Credential::User { name: user.clone(), password })?;
        let ca = settings
            .tls
            .trusted_ca_file
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let cluster = json!({
            "api-url": settings.base.to_string(),
            "trusted-ca-file": ca.map(|path| path.display().to_string()).unwrap_or_default(),
            "insecure-skip-tls-verify": settings.tls.insecure_skip_tls_verify,
            "APIKey": "",
            "timeout": u64::try_from(settings.timeout.as_nanos()).unwrap_or(u64::MAX),
        });
        let profile = json!({
            "format": self.format.unwrap_or(settings.format).name(),
            "namespace": settings.namespace,
        });
        let base = settings.base.clone();
        let gateway = Gateway::open(settings).await?;
        let tokens = gateway.tokens().await?;
        save(&files, with_tokens(cluster, tokens.as_ref()), profile)?;
        report(&format!("logged in to {base} as {user}\n"));
        Ok(())
    }
}

// === impl Logout ===

impl Logout {
    /// Ends the session at the server and forgets it.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let Credential::Saved { tokens, files, .. } = &settings.credential else {
            return Err(Failure::new(CONFIG, "no login is saved: there is nothing to end"));
        };
        let (files, refresh) = (files.clone(), tokens.refresh.clone());
        let gateway = Gateway::open(settings).await?;
        let body = json!({"refresh_token": refresh});
        let ended = gateway.send(Method::POST, "/auth/logout", Some(&body), None).await;
        match ended.and_then(super::answer::Answer::success) {
            Err(failure) if failure.code != REFUSED => return Err(failure),
            // A session that is over already is to be forgotten, too.
            _ => {}
        }
        let cluster = json!({"trusted-ca-file": "", "insecure-skip-tls-verify": false});
        save(&files, with_tokens(cluster, None), json!({}))?;
        report("logged out\n");
        Ok(())
    }
}

fn with_tokens(mut cluster: Value, tokens: Option<&super::saved::Tokens>) -> Value {
    cluster["access_token"] = tokens.map_or("", |tokens| &tokens.access).into();
    cluster["expires_at"] = tokens.map_or(0, |tokens| tokens.expires_at).into();
    cluster["refresh_token"] = tokens.map_or("", |tokens| &tokens.refresh).into();
    cluster
}

/// Changes these keys in sensuctl's files.
fn save(files: &SavedFiles, cluster: Value, profile: Value) -> Result<(), Failure> {
    files.update(cluster, profile).map_err(|error| {
        Failure::new(1, format!("cannot save the login in {}: {error}", files.cluster().display()))
    })
}
