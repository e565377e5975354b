//! `create` and `delete`.

use std::io::{self, IsTerminal};

use clap::Args;

use super::{
    files::{self, Placed},
    http::Gateway,
    list::{check_names, kind_named, titled},
    options::Connection,
};
use crate::cli::{CONFIG, Failure, USAGE, output::report};

/// `fedgate create`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Files of resources, YAML (several documents) or JSON; - or no file is the standard input
    #[arg(long = "file", short, value_name = "FILE", num_args = 1..)]
    files: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate delete`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// Files of the resources to delete; - is the standard input
    #[arg(long = "file", short, value_name = "FILE", num_args = 1.., conflicts_with_all = ["kind", "names"])]
    files: Vec<String>,
    /// What to delete: check, entity, event, …, cluster, etcd-replicator, replicator
    #[arg(value_name = "TYPE", required_unless_present = "files")]
    kind: Option<String>,
    /// Its name; for an event, its entity and its check
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

// === impl Create ===

impl Create {
    /// Creates or replaces the resources in the files, in order, once all of them have been read.
    pub(in crate::cli) async fn run(mut self) -> Result<(), Failure> {
        if self.files.is_empty() {
            if io::stdin().is_terminal() {
                return Err(Failure::new(
                    USAGE,
                    "no resources: give -f FILE, or -f - for the standard input",
                ));
            }
            self.files.push("-".to_owned());
        }
        let settings = self.connection.settings()?;
        let mut found = load(&self.files, &settings.namespace)?;
        if let Some(key) = found.iter().find(|placed| placed.document.kind.type_name == "APIKey") {
            let line = format!("{key}: Sensu names API keys itself: make one with sensuctl api-key grant");
            return Err(Failure::new(CONFIG, line));
        }
        let gateway = Gateway::open(settings).await?;
        let total = found.len();
        for (applied, placed) in found.iter_mut().enumerate() {
            placed.document.label_as_managed();
            let path = placed.document.path();
            let body = placed.document.body();
            let done = gateway.put(&path, &body).await;
            done.map_err(|failure| stopped(failure, placed, "applied", applied, total))?;
            report(&format!("applied {}\n", placed.document));
        }
        Ok(())
    }
}

// === impl Delete ===

impl Delete {
    /// Deletes one resource, or those in the files in order.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let Some(word) = &self.kind else { return self.run_files().await };
        let kind = kind_named(word)?;
        check_names(kind, &self.names)?;
        let settings = self.connection.settings()?;
        let path = kind.item_path(&settings.namespace, &self.names);
        let gateway = Gateway::open(settings).await?;
        let title = titled(kind, &self.names);
        gateway.delete(&path).await.map_err(|failure| failure.with_context(&title))?;
        report(&format!("deleted {title}\n"));
        Ok(())
    }

    async fn run_files(&self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let found = load(&self.files, &settings.namespace)?;
        let gateway = Gateway::open(settings).await?;
        for (deleted, placed) in found.iter().enumerate() {
            let done = gateway.delete(&placed.document.path()).await;
            done.map_err(|failure| stopped(failure, placed, "deleted", deleted, found.len()))?;
            report(&format!("deleted {}\n", placed.document));
        }
        Ok(())
    }
}

fn load(files: &[String], namespace: &str) -> Result<Vec<Placed>, Failure> {
    files::load(files, namespace).map_err(|error| Failure::new(CONFIG, error))
}

/// Adds which resource failed, and how many were done before it.
fn stopped(failure: Failure, placed: &Placed, verb: &str, done: usize, total: usize) -> Failure {
    let left = total - done - 1;
    let before = match (done, left) {
        (0, 0) => String::new(),
        (0, _) => format!(" (nothing was {verb})"),
        (_, _) => format!(" ({verb} before it: {done} of {total})"),
    };
    let mut failure = failure.with_context(&placed.to_string());
    failure.line.push_str(&before);
    failure
}
