use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{located, wrong};
use crate::cli::{
    Failure, REFUSED,
    client::{http::Gateway, kind::Kind, options::Connection, prompt},
    output::{print, report},
};

/// `fedgate user …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Create a user
    Create(Create),
    /// Let a disabled user log in again
    Reinstate(Named),
    /// Add a user to a group
    AddGroup(Grouped),
    /// Remove a user from a group
    RemoveGroup(Grouped),
    /// Remove a user from all groups
    RemoveGroups(Named),
    /// Give a user these groups and no others
    SetGroups(Grouped),
    /// Change a password, of which the old one is known
    ChangePassword(ChangePassword),
    /// Give a user a new password
    ResetPassword(ResetPassword),
    /// Make the hash of a password, as `password_hash` holds it
    HashPassword(HashPassword),
    /// Try a user's password
    TestCreds(TestCreds),
}

/// `fedgate user create`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    password: NewPassword,
    /// Groups, with commas between them
    #[arg(long, short, value_name = "GROUP,…", alias = "group", value_delimiter = ',')]
    groups: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// A user.
#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// The user
    #[arg(value_name = "USERNAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

/// A user and groups.
#[derive(Debug, Args)]
pub(in crate::cli) struct Grouped {
    /// The user
    #[arg(value_name = "USERNAME")]
    name: String,
    /// The group, or groups with commas between them for set-groups
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    connection: Connection,
}

/// A password that is to be set.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewPassword {
    /// Password; without it, it is asked for at the terminal
    #[arg(id = "new-user-password", long = "password", short = 'p', value_name = "PASSWORD")]
    password: Option<String>,
    /// Accepted, as a password that is not given is asked for
    #[arg(long, hide = true)]
    interactive: bool,
}

/// `fedgate user change-password`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangePassword {
    /// The user; by default yourself
    #[arg(value_name = "USERNAME")]
    name: Option<String>,
    /// The password until now
    #[arg(long, short, value_name = "PASSWORD")]
    current_password: Option<String>,
    /// The password from now on
    #[arg(long, short = 'p', value_name = "PASSWORD")]
    new_password: Option<String>,
    /// Accepted, as a password that is not given is asked for
    #[arg(long, hide = true)]
    interactive: bool,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate user reset-password`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResetPassword {
    /// The user
    #[arg(value_name = "USERNAME")]
    name: String,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate user hash-password`.
#[derive(Debug, Args)]
pub(in crate::cli) struct HashPassword {
    /// Password; without it, it is asked for at the terminal
    #[arg(value_name = "PASSWORD")]
    password: Option<String>,
}

/// `fedgate user test-creds`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TestCreds {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    password: NewPassword,
    #[command(flatten)]
    connection: Connection,
}

// === impl UserCommand ===

impl UserCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Reinstate(it) => {
                change(&it.connection, it.name, &[(Method::PUT, "/reinstate".into())]).await
            }
            Self::AddGroup(it) => {
                let path = format!("/groups/{}", escaped(&it.group));
                change(&it.connection, it.name, &[(Method::PUT, path)]).await
            }
            Self::RemoveGroup(it) => {
                let path = format!("/groups/{}", escaped(&it.group));
                change(&it.connection, it.name, &[(Method::DELETE, path)]).await
            }
            Self::RemoveGroups(it) => {
                change(&it.connection, it.name, &[(Method::DELETE, "/groups".into())]).await
            }
            Self::SetGroups(it) => {
                let groups = it.group.split(',').map(str::trim).filter(|group| !group.is_empty());
                let added = groups.map(|group| (Method::PUT, format!("/groups/{}", escaped(group))));
                let steps: Vec<_> =
                    std::iter::once((Method::DELETE, "/groups".to_owned())).chain(added).collect();
                change(&it.connection, it.name, &steps).await
            }
            Self::ChangePassword(it) => it.run().await,
            Self::ResetPassword(it) => it.run().await,
            Self::HashPassword(it) => {
                let password = it.password.or_else(|| prompt::ask("the user")).ok_or_else(no_password)?;
                print(&format!("{}\n", hash(&password)?))
            }
            Self::TestCreds(it) => it.run().await,
        }
    }
}

/// Sends requests below a user, one after another.
async fn change(connection: &Connection, name: String, steps: &[(Method, String)]) -> Result<(), Failure> {
    let (settings, path) = located(connection, "user", std::slice::from_ref(&name))?;
    let gateway = Gateway::open(settings).await?;
    for (method, below) in steps {
        let answer = gateway.send(method.clone(), &format!("{path}{below}"), None, None).await;
        answer
            .and_then(super::super::answer::Answer::success)
            .map_err(|failure| failure.with_context(&titled(&name)))?;
    }
    report(&format!("updated {}\n", titled(&name)));
    Ok(())
}

// === impl Create ===

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let kind = Kind::named("user").map_err(wrong)?;
        let password = self.password.of(&self.name)?;
        check(&password)?;
        let gateway = Gateway::open(self.connection.settings()?).await?;
        let groups: Vec<&str> = self.groups.iter().map(|group| group.trim()).collect();
        let user = json!({"username": self.name, "password": password, "groups": groups, "disabled": false});
        let done = gateway.post(&kind.list_path(None), &user).await;
        done.map_err(|failure| failure.with_context(&titled(&self.name)))?;
        report(&format!("created {}\n", titled(&self.name)));
        Ok(())
    }
}

// === impl NewPassword ===

impl NewPassword {
    fn of(&self, user: &str) -> Result<String, Failure> {
        self.password.clone().or_else(|| prompt::ask(user)).ok_or_else(no_password)
    }
}

// === impl ChangePassword ===

impl ChangePassword {
    async fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let gateway = Gateway::open(settings).await?;
        let name = self.name.or_else(|| gateway.caller().map(|caller| caller.user));
        let name = name.ok_or_else(|| wrong("whose key it is, only the server knows: give USERNAME"))?;
        let current = self.current_password.or_else(|| prompt::ask(&name)).ok_or_else(no_password)?;
        let new = self
            .new_password
            .or_else(|| prompt::ask(&format!("{name}, the new one")))
            .ok_or_else(no_password)?;
        let body = json!({"password": current, "password_hash": hash(&new)?});
        set_password(&gateway, &name, "password", &body).await
    }
}

// === impl ResetPassword ===

impl ResetPassword {
    async fn run(self) -> Result<(), Failure> {
        let body = json!({"password_hash": hash(&self.password.of(&self.name)?)?});
        let gateway = Gateway::open(self.connection.settings()?).await?;
        set_password(&gateway, &self.name, "reset_password", &body).await
    }
}

async fn set_password(gateway: &Gateway, name: &str, below: &str, body: &Value) -> Result<(), Failure> {
    let kind = Kind::named("user").map_err(wrong)?;
    let path = format!("{}/{below}", kind.item_path("", &[name.to_owned()]));
    gateway.put(&path, body).await.map_err(|failure| failure.with_context(&titled(name)))?;
    report(&format!("updated {}\n", titled(name)));
    Ok(())
}

// === impl TestCreds ===

impl TestCreds {
    async fn run(self) -> Result<(), Failure> {
        let password = self.password.of(&self.name)?;
        let gateway = Gateway::open(self.connection.settings()?).await?;
        if gateway.takes(&self.name, &password).await? {
            return Ok(());
        }
        Err(Failure::new(REFUSED, format!("{} refuses user {:?} or the password", gateway.base(), self.name)))
    }
}

fn hash(password: &str) -> Result<String, Failure> {
    check(password)?;
    bcrypt::non_truncating_hash(password, COST)
        .map_err(|_| wrong(format!("a password has at most {LONGEST} bytes")))
}

/// As Sensu checks one that it sees; of a hash it cannot know.
fn check(password: &str) -> Result<(), Failure> {
    if password.len() < SHORTEST {
        return Err(wrong(format!("a password has at least {SHORTEST} characters")));
    }
    Ok(())
}

fn no_password() -> Failure {
    wrong("no password: give it as an option, or at a terminal")
}

fn titled(name: &str) -> String {
    format!("user {name:?}")
}

fn escaped(segment: &str) -> String {
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string()
}

/// That of Sensu's own client.
const COST: u32 = 10;
const SHORTEST: usize = 8;
/// What bcrypt takes into account.
const LONGEST: usize = 71;
