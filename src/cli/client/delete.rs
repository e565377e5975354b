use std::collections::HashSet;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    answer::Answer,
    create::{Input, stopped},
    document::Document,
    files::{Placed, Purpose},
    http::{Caller, Gateway},
    kind::Kind,
    list::{check_names, kind_named, titled},
    options::Connection,
    value::{list, text},
};
use crate::cli::{Failure, USAGE, output::report};

/// `fedgate delete`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    input: Input,
    /// What to delete: check, entity, event, …, cluster, etcd-replicator, replicator
    #[arg(value_name = "TYPE", conflicts_with_all = ["files", "recursive", "skip_unknown"])]
    kind: Option<String>,
    /// Its name; for an event, its entity and its check
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Leave what a deleted replicator has copied where it cannot be removed
    #[arg(long, requires = "kind")]
    give_up: bool,
    /// Accepted, as fedgate does not ask
    #[arg(long, hide = true)]
    skip_confirm: bool,
    #[command(flatten)]
    connection: Connection,
}

// === impl Delete ===

impl Delete {
    /// Deletes one resource, or those in files.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let Some(word) = &self.kind else { return self.run_files().await };
        let kind = kind_named(word)?;
        check_names(kind, &self.names)?;
        if self.give_up && !matches!(kind.type_name, "EtcdReplicator" | "Replicator") {
            return Err(Failure::new(USAGE, "--give-up is for an etcd-replicator or a replicator only"));
        }
        let settings = self.connection.settings()?;
        let mut path = kind.item_path(&settings.namespace, &self.names);
        if self.give_up {
            path.push_str("?give_up=true");
        }
        let gateway = Gateway::open(settings).await?;
        let title = titled(kind, &self.names);
        gateway.delete(&path).await.map_err(|failure| failure.with_context(&title))?;
        let done = if self.give_up { "gave up what is left of" } else { "deleted" };
        report(&format!("{done} {title}\n"));
        Ok(())
    }

    /// Those that depend on others go first. What is gone already is no error: so that a deletion that was interrupted can
    /// be repeated.
    async fn run_files(&self) -> Result<(), Failure> {
        if self.input.is_missing() {
            let line = "nothing to delete: give TYPE and NAME, -f FILE, or -f - for the standard input";
            return Err(Failure::new(USAGE, line));
        }
        let settings = self.connection.settings()?;
        let mut found = self.input.load(&settings, Purpose::Delete).await?;
        let gateway = Gateway::open(settings).await?;
        sort(&mut found, gateway.caller());
        let total = found.len();
        let mut gone = 0;
        gateway.progress().begin("deleting", Some(total));
        for (done, placed) in found.iter().enumerate() {
            let document = &placed.document;
            let answer = gateway.send(Method::DELETE, &document.path(), None, None).await;
            match answer.and_then(|answer| {
                if is_gone(document, &answer) { Ok(None) } else { answer.success().map(Some) }
            }) {
                Ok(Some(_)) => report(&format!("deleted {document}\n")),
                Ok(None) => {
                    gone += 1;
                    report(&format!("gone already: {document}\n"));
                }
                Err(failure) => return Err(stopped(failure, placed, "deleted", done, total)),
            }
            gateway.progress().advance(1);
        }
        report(&summary(total - gone, gone));
        Ok(())
    }
}

fn sort(found: &mut [Placed], caller: Option<Caller>) {
    let grants = Grants::of(caller, found);
    found.sort_by_key(|placed| (grants.include(&placed.document), rank(placed.document.kind)));
}

/// What goes first: what others depend on goes last.
fn rank(kind: &Kind) -> u8 {
    match kind.type_name {
        "Event" => 0,
        "Silenced" => 1,
        "Entity" => 2,
        "CheckConfig" => 3,
        "Pipeline" => 4,
        "Handler" => 5,
        "EtcdReplicator" | "Replicator" => 8,
        "RoleBinding" => 10,
        "Role" => 11,
        "APIKey" => 12,
        "ClusterRoleBinding" => 13,
        "ClusterRole" => 14,
        "User" => 15,
        "Namespace" => 20,
        "Cluster" => 21,
        // Handlers, checks and pipelines name them.
        _ => 6,
    }
}

/// What of a deletion the caller's own rights may come from. It goes last of all: with it goes the right to go on.
struct Grants {
    caller: Option<Caller>,
    /// The roles of the caller's bindings.
    roles: HashSet<String>,
}

// === impl Grants ===

impl Grants {
    fn of(caller: Option<Caller>, found: &[Placed]) -> Self {
        let mut grants = Self { caller, roles: HashSet::new() };
        let bindings = found.iter().map(|placed| &placed.document);
        let own = bindings.filter(|it| it.kind.type_name == "ClusterRoleBinding" && grants.include(it));
        grants.roles = own.map(|binding| text(&at_key(binding, "role_ref")["name"])).collect();
        grants
    }

    /// Whose key it is, only the server knows: then every user and every binding may be the caller's.
    fn include(&self, document: &Document) -> bool {
        let name = document.names.first().map_or("", String::as_str);
        match (document.kind.type_name, &self.caller) {
            ("ClusterRole", _) => self.roles.contains(name),
            ("User" | "ClusterRoleBinding", None) => true,
            ("User", Some(caller)) => name == caller.user,
            ("ClusterRoleBinding", Some(caller)) => {
                list(at_key(document, "subjects")).iter().any(|subject| {
                    let name = text(&subject["name"]);
                    match text(&subject["type"]).as_str() {
                        "User" => name == caller.user,
                        _ => caller.groups.contains(&name),
                    }
                })
            }
            _ => false,
        }
    }
}

fn at_key<'a>(document: &'a Document, key: &str) -> &'a Value {
    document.spec().get(key).unwrap_or(&Value::Null)
}

/// Whether the server does not have it. That it does not know the cluster is something else.
fn is_gone(document: &Document, answer: &Answer) -> bool {
    let is_elsewhere = !document.kind.is_federation() && answer.message().contains("is not registered");
    answer.status == StatusCode::NOT_FOUND && answer.error_code() == Some(2) && !is_elsewhere
}

fn summary(deleted: usize, gone: usize) -> String {
    match (deleted, gone) {
        (1, 0) => String::new(),
        (_, 0) => format!("deleted {deleted} resources\n"),
        _ => format!("deleted {deleted} resources; {gone} were gone already\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::kind::KINDS;

    fn document(type_name: &str, name: &str, spec: &Value) -> Placed {
        let value = json!({"type": type_name, "metadata": {"name": name}, "spec": spec,
            "api_version": KINDS.iter().find(|kind| kind.type_name == type_name).unwrap().api_version});
        Placed::of(Document::parse(value, "default").unwrap())
    }

    fn order(caller: Option<Caller>, mut found: Vec<Placed>) -> Vec<String> {
        sort(&mut found, caller);
        found.iter().map(|placed| placed.document.to_string()).collect()
    }

    #[test]
    fn what_depends_goes_first_and_what_gives_the_right_to_go_on_last() {
        let binding = |name: &str, subject: &str, role: &str| {
            let subjects = json!([{"type": "Group", "name": subject}]);
            document(
                "ClusterRoleBinding",
                name,
                &json!({"subjects": subjects, "role_ref": {"type": "ClusterRole", "name": role}}),
            )
        };
        let all = || {
            vec![
                document("Cluster", "gamma", &json!({})),
                document("Namespace", "ops", &json!({})),
                document("ClusterRole", "mine", &json!({})),
                document("ClusterRole", "theirs", &json!({})),
                binding("b-mine", "ops", "mine"),
                binding("b-theirs", "others", "theirs"),
                document("User", "ann", &json!({})),
                document("Role", "r", &json!({})),
                document("RoleBinding", "rb", &json!({})),
                document("Asset", "a", &json!({})),
                document("CheckConfig", "c", &json!({})),
                document("Entity", "e", &json!({})),
                document(
                    "Event",
                    "",
                    &json!({"entity": {"metadata": {"name": "e"}}, "check": {"metadata": {"name": "c"}}}),
                ),
            ]
        };
        let ann = Caller { user: "ann".into(), groups: vec!["ops".into()] };
        let first = [
            "Event \"e/c\" in default",
            "Entity \"e\" in default",
            "CheckConfig \"c\" in default",
            "Asset \"a\" in default",
            "RoleBinding \"rb\" in default",
            "Role \"r\" in default",
        ];
        let then = [
            "ClusterRoleBinding \"b-theirs\"",
            "ClusterRole \"theirs\"",
            "Namespace \"ops\"",
            "Cluster \"gamma\"",
            "ClusterRoleBinding \"b-mine\"",
            "ClusterRole \"mine\"",
            "User \"ann\"",
        ];
        assert_eq!(order(Some(ann), all()), [&first[..], &then[..]].concat());
        let keyed = order(None, all());
        assert_eq!(keyed[..8], [&first[..], &["Namespace \"ops\"", "Cluster \"gamma\""][..]].concat());
    }
}
