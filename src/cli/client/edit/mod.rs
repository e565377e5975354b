//! `edit`: one resource in the user's editor.

mod draft;
mod editor;

use clap::Args;
use draft::Draft;
use editor::Editor;
use futures::FutureExt as _;
use http::{Method, StatusCode, header};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    answer::Answer,
    document::{Document, ignored_keys, wrapped},
    http::Gateway,
    kind::Kind,
    list::{check_names, kind_named, titled},
    options::Connection,
    prompt::INTERRUPTED,
    redacted::{self, Write},
    yaml,
};
use crate::cli::{
    Failure, environment,
    output::{print, report},
};

/// `fedgate edit`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Edit {
    /// What it is: check, entity, event, …, cluster, etcd-replicator, replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name; for an event, its entity and its check
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Keep the values of an entity that Sensu hides where the text has the word REDACTED in their place
    #[arg(long)]
    keep_redacted: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A resource while it is edited.
struct Session<'a> {
    gateway: &'a Gateway,
    kind: &'static Kind,
    namespace: String,
    title: String,
    path: String,
    /// What the server had when it was read.
    before: Answer,
    original: Document,
    keep_redacted: bool,
    /// Whether the server itself keeps what it hides.
    is_kept: bool,
    file: Draft,
}

/// A text that was rejected, without the notice above it, and why.
struct Rejected {
    text: String,
    reason: String,
}

// === impl Edit ===

impl Edit {
    /// Reads the resource, lets the user change it, and writes it back unless it was changed in the meantime.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        check_names(kind, &self.names)?;
        let settings = self.connection.settings()?;
        let namespace = settings.namespace.clone();
        let path = kind.item_path(&namespace, &self.names);
        let title = titled(kind, &self.names);
        let gateway = Gateway::open(settings).await?;
        let before = gateway.get(&path).await.map_err(|failure| failure.with_context(&title))?;
        let value = wrapped(kind, before.json()?);
        if value["metadata"]["labels"]["fedgate/source"] == "config" {
            let line = format!("{title} is in the gateway's configuration file: change it there");
            return Err(Failure::new(1, line));
        }
        let original = Document::parse(value.clone(), &namespace)
            .map_err(|what| Failure::new(1, format!("the server's {title} {what}")))?;
        let file = Draft::new(kind.word, &yaml::write(&value))?;
        let keep_redacted = self.keep_redacted;
        let is_kept = redacted::is_kept_by_server(&original, &gateway).await?;
        let session = Session {
            gateway: &gateway,
            kind,
            namespace,
            title,
            path,
            before,
            original,
            keep_redacted,
            is_kept,
            file,
        };
        session.run().await
    }
}

// === impl Session ===

impl Session<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let editor = Editor::of(&environment());
        let interrupts = signal(SignalKind::interrupt());
        let mut interrupts =
            interrupts.map_err(|error| Failure::new(1, format!("cannot handle signals: {error}")))?;
        let mut last = Rejected { text: self.read()?, reason: String::new() };
        loop {
            if let Err(what) = editor.run(self.file.path(), &mut interrupts).await {
                return Err(self.file.keep(1, &what));
            }
            let text = without_notice(&self.read()?);
            if is_blank(&text) || (text == last.text && last.reason.is_empty()) {
                return print("nothing changed\n");
            }
            if text == last.text {
                return Err(self.file.keep(1, &format!("not saved: {}", last.reason)));
            }
            let reason = match self.check(&text) {
                Ok(None) => return print("nothing changed\n"),
                Ok(Some((document, write))) => match self.save(&document, &write, &mut interrupts).await? {
                    None => {
                        report(&format!("updated {}\n", self.title));
                        return Ok(());
                    }
                    Some(refusal) => refusal,
                },
                Err(what) => what,
            };
            self.add_notice(&text, &reason)?;
            last = Rejected { text, reason };
        }
    }

    fn read(&mut self) -> Result<String, Failure> {
        self.file.read().map_err(|what| self.file.keep(1, &format!("nothing was saved: {what}")))
    }

    /// Sends it. Returns what the server finds wrong with the text, for the user to correct; every other failure ends
    /// the command, and so does Ctrl-C from here on.
    async fn save(
        &mut self,
        document: &Document,
        write: &Write,
        interrupts: &mut Signal,
    ) -> Result<Option<String>, Failure> {
        // Interrupts that arrived while the editor ran were meant for the editor.
        while interrupts.recv().now_or_never().is_some() {}
        let answer = tokio::select! {
            answer = self.write(document, write) => answer,
            _ = interrupts.recv() => {
                let line = "interrupted: the change may still have been made";
                return Err(self.file.keep(INTERRUPTED, line));
            }
        };
        let failure = match answer {
            Ok(answer) if answer.status.is_success() => return Ok(None),
            Ok(answer) if answer.status == StatusCode::BAD_REQUEST => return Ok(Some(answer.message())),
            Ok(answer) if answer.status == StatusCode::PRECONDITION_FAILED => Failure::new(
                1,
                format!("{} was changed by someone else in the meantime: edit it again", self.title),
            ),
            Ok(answer) => answer.failure(),
            Err(failure) => failure,
        };
        Err(self.file.keep(failure.code, &failure.line))
    }

    /// The edited resource, if it is still the same one, and how to write it; nothing if nothing changed.
    fn check(&self, text: &str) -> Result<Option<(Document, Write)>, String> {
        let value = yaml::read(text).map_err(|error| {
            // As the user will see it, below the notice.
            let line = error.line.map(|line| format!("line {} ", line + NOTICE_LINES)).unwrap_or_default();
            format!("{line}{}", error.what)
        })?;
        let ignored = value.as_object().map(ignored_keys).unwrap_or_default();
        if !ignored.is_empty() {
            return Err(format!("the resource has keys without a meaning: {}", ignored.join(", ")));
        }
        let document =
            Document::parse(value, &self.namespace).map_err(|what| format!("the resource {what}"))?;
        if !document.is_same_as(&self.original) {
            return Err(format!("type, name and namespace cannot change: it was {}", self.original));
        }
        if document == self.original {
            return Ok(None);
        }
        if self.is_kept {
            return Ok(Some((document, Write::Put)));
        }
        let server = self.before.json().unwrap_or_default();
        let write = redacted::write(&document, &server, self.keep_redacted, "edit it with --keep-redacted")?;
        Ok(Some((document, write)))
    }

    /// Replaces the resource if it is still the one that was read.
    async fn write(&self, document: &Document, write: &Write) -> Result<Answer, Failure> {
        let tag = self.before.headers.get(header::ETAG);
        // Sensu ignores If-Match here. Reading again narrows the race with another writer from the time that editing takes
        // to a moment. Entities and events change by themselves.
        if !self.kind.is_federation() && !matches!(self.kind.type_name, "Entity" | "Event") {
            let now = self.gateway.get(&self.path).await?;
            if now.body != self.before.body {
                return Ok(Answer { status: StatusCode::PRECONDITION_FAILED, ..now });
            }
        }
        match write {
            Write::Patch(change) => self.gateway.patch(&self.path, change, None).await,
            Write::Put => self.gateway.send(Method::PUT, &self.path, Some(&document.body()), tag).await,
        }
    }

    /// Puts the reason above the text.
    fn add_notice(&mut self, text: &str, what: &str) -> Result<(), Failure> {
        let text = format!("{NOTICE}{what}\n{NOTICE}Correct it, or leave it as it is to give up.\n{text}");
        self.file.write(&text).map_err(|error| {
            let path = self.file.path().display();
            let line = format!("not saved: {what}; and cannot write {path}: {error}");
            self.file.keep(1, &line)
        })
    }
}

/// The user's own text, without the notice and a byte order mark.
fn without_notice(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split_inclusive('\n').filter(|line| !line.starts_with(NOTICE)).collect()
}

/// Whether there are only comments and white space, which gives up the edit.
fn is_blank(text: &str) -> bool {
    yaml::read(text).is_ok_and(|value| value.is_null())
}

const NOTICE: &str = "# fedgate: ";
const NOTICE_LINES: u64 = 2;
