use std::io::{self, IsTerminal};

use clap::Args;
use http::{Method, StatusCode};

use super::{
    answer::Answer,
    fetch::Fetcher,
    files::{self, Placed, Purpose},
    http::Gateway,
    make::Made,
    options::{Connection, Settings},
    redacted::{self, Write},
};
use crate::{
    cli::{
        CONFIG, Failure, USAGE,
        output::{note, report},
    },
    types::LOCAL_CLUSTER,
};

/// `fedgate create`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Create {
    #[command(subcommand)]
    made: Option<Box<Made>>,
    #[command(flatten)]
    input: Input,
    /// Keep the values of entities that Sensu hides where the file has the word REDACTED in their place
    #[arg(long)]
    keep_redacted: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Where resources are read from.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Files, directories and URLs of resources, YAML (several documents) or JSON; - or none is the standard input
    #[arg(long = "file", short, value_name = "FILE", num_args = 1..)]
    pub(super) files: Vec<String>,
    /// Look into the directories of directories, too
    #[arg(long, short)]
    recursive: bool,
    /// Leave out the documents of types that only Sensu's commercial edition has, and other unknown ones
    #[arg(long)]
    skip_unknown: bool,
}

// === impl Input ===

impl Input {
    /// Whether neither a file is named nor the standard input can be one.
    pub(super) fn is_missing(&self) -> bool {
        self.files.is_empty() && io::stdin().is_terminal()
    }

    /// Reads everything and checks it.
    pub(super) async fn load(&self, settings: &Settings, purpose: Purpose) -> Result<Vec<Placed>, Failure> {
        let standard = ["-".to_owned()];
        let files = if self.files.is_empty() { &standard[..] } else { &self.files };
        let sources = files::read(files, self.recursive, &Fetcher::new(settings.timeout)).await;
        let found = files::load(sources, &settings.namespace, purpose, self.skip_unknown)?;
        let here = settings.base.cluster();
        if let Some((placed, cluster)) = found.iter().find_map(|placed| {
            let cluster = placed.document.elsewhere()?;
            (cluster != here.unwrap_or(LOCAL_CLUSTER)).then_some((placed, cluster))
        }) {
            let line =
                format!("{placed} is of cluster {cluster:?}: give --url …/c/{cluster} for those of its kind");
            return Err(Failure::new(CONFIG, line));
        }
        Ok(found)
    }
}

// === impl Create ===

impl Create {
    /// Creates or replaces the resources in the files, in order, once all of them have been read.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        if let Some(made) = self.made {
            return made.run().await;
        }
        if self.input.is_missing() {
            let line = "no resources: give -f FILE, or -f - for the standard input";
            return Err(Failure::new(USAGE, line));
        }
        let settings = self.connection.settings()?;
        let mut found = self.input.load(&settings, Purpose::Create).await?;
        let gateway = Gateway::open(settings).await?;
        for placed in &mut found {
            placed.document.label_as_managed();
        }
        let writes = self.writes(&gateway, &found).await?;
        let total = found.len();
        gateway.progress().begin("applying", Some(total));
        for (applied, (placed, write)) in found.iter().zip(&writes).enumerate() {
            let path = placed.document.path();
            let done = match write {
                Write::Put => gateway.put(&path, &placed.document.body()).await,
                Write::Patch(change) => gateway.patch(&path, change, None).await.and_then(Answer::success),
            };
            done.map_err(|failure| stopped(failure, placed, "applied", applied, total))?;
            gateway.progress().advance(1);
            report(&format!("applied {}\n", placed.document));
        }
        Ok(())
    }

    /// How each is to be written, so that no value is lost that Sensu has hidden when the file was made.
    async fn writes(&self, gateway: &Gateway, found: &[Placed]) -> Result<Vec<Write>, Failure> {
        let mut refused = Vec::new();
        let mut writes = Vec::new();
        gateway.progress().begin("looking for hidden values", None);
        for placed in found {
            match self.write(gateway, placed).await? {
                Ok(write) => writes.push(write),
                Err(line) => refused.push(line),
            }
        }
        let Some(last) = refused.pop() else { return Ok(writes) };
        refused.iter().for_each(note);
        Err(Failure::new(CONFIG, last))
    }

    /// The inner error says what would be lost.
    async fn write(&self, gateway: &Gateway, placed: &Placed) -> Result<Result<Write, String>, Failure> {
        let document = &placed.document;
        if !redacted::is_suspect(document) {
            return Ok(Ok(Write::Put));
        }
        if redacted::is_kept_by_server(document, gateway).await? {
            return Ok(Ok(Write::Put));
        }
        let answer = gateway.send(Method::GET, &document.path(), None, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            note(format!(
                "{placed}: its hidden values are not in the file: REDACTED is written in their place"
            ));
            return Ok(Ok(Write::Put));
        }
        let server = answer.success().map_err(|failure| failure.with_context(&placed.to_string()))?.json()?;
        let write = redacted::write(document, &server, self.keep_redacted, "give --keep-redacted");
        Ok(write.map_err(|what| format!("{placed}: {what}")))
    }
}

/// Adds which resource failed, and how many were done before it.
pub(super) fn stopped(failure: Failure, placed: &Placed, verb: &str, done: usize, total: usize) -> Failure {
    let left = total.saturating_sub(done + 1);
    let before = match (done, left) {
        (0, 0) => String::new(),
        (0, _) => format!(" (nothing was {verb})"),
        (_, _) => format!(" ({verb} before it: {done} of {total})"),
    };
    let mut failure = failure.with_context(&placed.to_string());
    failure.line.push_str(&before);
    failure
}
