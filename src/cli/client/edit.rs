//! `edit`: one resource in the user's editor.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use http::{Method, StatusCode, header};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    answer::Answer,
    document::{Document, wrapped},
    http::Gateway,
    kind::Kind,
    list::{check_names, kind_named, titled},
    options::Connection,
    print::put,
    yaml,
};
use crate::cli::{Failure, environment};

/// `fedgate edit`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Edit {
    /// What it is: check, entity, event, …, cluster, etcd-replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name; of an event, entity and check
    #[arg(value_name = "NAME")]
    names: Vec<String>,
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
    file: Draft,
}

/// The text in a file of its own, which goes away unless it is kept.
struct Draft {
    path: PathBuf,
    is_kept: bool,
}

// === impl Edit ===

impl Edit {
    /// Reads the resource, lets the user change it, and writes it back unless somebody else did meanwhile.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        check_names(kind, &self.names)?;
        let settings = self.connection.settings()?;
        let namespace = settings.namespace.clone();
        let path = kind.item_path(&namespace, &self.names);
        let title = titled(kind, &self.names);
        let gateway = Gateway::open(settings).await?;
        let before = gateway.get(&path).await.map_err(|failure| failure.about(&title))?;
        let value = wrapped(kind, before.json()?);
        if value["metadata"]["labels"]["fedgate/source"] == "config" {
            let line = format!("{title} is in the gateway's configuration file: change it there");
            return Err(Failure::new(1, line));
        }
        let original = Document::parse(value.clone(), &namespace)
            .map_err(|what| Failure::new(1, format!("the server's {title} {what}")))?;
        let file = Draft::new(kind, &yaml::write(&value))?;
        let session = Session { gateway: &gateway, kind, namespace, title, path, before, original, file };
        session.run().await
    }
}

// === impl Session ===

impl Session<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut last = self.file.read()?;
        let mut complaint: Option<String> = None;
        loop {
            self.open_editor()?;
            let text = self.file.read()?;
            if text == last {
                return match complaint {
                    None => put("nothing changed\n"),
                    Some(what) => Err(self.keep(1, &format!("not saved: {what}"))),
                };
            }
            let document = match self.check(&text) {
                Ok(document) if document == self.original => return put("nothing changed\n"),
                Ok(document) => document,
                Err(what) => {
                    last = self.complain(&text, &what)?;
                    complaint = Some(what);
                    continue;
                }
            };
            let answer = self.write(&document).await;
            match answer {
                Ok(answer) if answer.status.is_success() => return put(&format!("updated {}\n", self.title)),
                Ok(answer) if answer.status == StatusCode::PRECONDITION_FAILED => {
                    return Err(self.overtaken());
                }
                // The server says what is wrong with the text, so the text can be made right.
                Ok(answer) if answer.status == StatusCode::BAD_REQUEST => {
                    let what = answer.message();
                    last = self.complain(&text, &what)?;
                    complaint = Some(what);
                }
                Ok(answer) => {
                    let failure = answer.failure();
                    return Err(self.keep(failure.code, &failure.line));
                }
                Err(failure) => return Err(self.keep(failure.code, &failure.line)),
            }
        }
    }

    /// The edited resource, if it is still the same one.
    fn check(&self, text: &str) -> Result<Document, String> {
        let value = yaml::read(text).map_err(|error| {
            let line = error.line.map(|line| format!("line {line} ")).unwrap_or_default();
            format!("{line}{}", error.what)
        })?;
        if value.is_null() {
            return Err("the text is empty".to_owned());
        }
        let document =
            Document::parse(value, &self.namespace).map_err(|what| format!("the resource {what}"))?;
        if !document.is_same_as(&self.original) {
            return Err(format!("type, name and namespace cannot change: it was {}", self.original));
        }
        Ok(document)
    }

    /// Writes it over what was read, and over nothing else.
    async fn write(&self, document: &Document) -> Result<Answer, Failure> {
        let tag = self.before.headers.get(header::ETAG);
        // Sensu does not look at If-Match here. Asking again leaves somebody else a moment in place of the time that
        // editing takes. Entities and events change by themselves.
        if !self.kind.is_federation() && !matches!(self.kind.type_name, "Entity" | "Event") {
            let now = self.gateway.get(&self.path).await?;
            if now.body != self.before.body {
                return Ok(Answer { status: StatusCode::PRECONDITION_FAILED, ..now });
            }
        }
        self.gateway.send(Method::PUT, &self.path, Some(&document.body()), tag).await
    }

    fn overtaken(&mut self) -> Failure {
        let line = format!("{} was changed by somebody else meanwhile: edit it again", self.title);
        self.keep(1, &line)
    }

    /// Ends with an error, and leaves the text for the user.
    fn keep(&mut self, code: u8, line: &str) -> Failure {
        self.file.is_kept = true;
        Failure::new(code, format!("{line} (your text is kept in {})", self.file.path.display()))
    }

    /// Puts the complaint above the text; returns the new text.
    fn complain(&self, text: &str, what: &str) -> Result<String, Failure> {
        let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with(COMPLAINT)).collect();
        let text =
            format!("{COMPLAINT}{what}\n{COMPLAINT}Correct it, or leave it as it is to give up.\n{text}");
        self.file.write(&text)?;
        Ok(text)
    }

    fn open_editor(&mut self) -> Result<(), Failure> {
        let environment = environment();
        let set = |name: &str| environment.get(name).filter(|command| !command.trim().is_empty());
        let command = set("EDITOR").or_else(|| set("VISUAL")).map_or("vi", String::as_str);
        // Ctrl-C in the editor is for the editor.
        let _interrupts = signal(SignalKind::interrupt());
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or("vi");
        let status = Command::new(program).args(words).arg(&self.file.path).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                Err(self.keep(1, &format!("nothing was saved: editor {program} ended with {status}")))
            }
            Err(error) => Err(Failure::new(
                1,
                format!("cannot start editor {program}: {error}: set EDITOR to one that is there"),
            )),
        }
    }
}

// === impl Draft ===

impl Draft {
    /// A new file that only the user may read.
    fn new(kind: &Kind, text: &str) -> Result<Self, Failure> {
        let name = format!("fedgate-{}-{:08x}.yaml", kind.word, fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let draft = Self { path, is_kept: false };
        let written = open.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| draft.fault("write", &error))?;
        Ok(draft)
    }

    fn read(&self) -> Result<String, Failure> {
        fs::read_to_string(&self.path).map_err(|error| self.fault("read", &error))
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        fs::write(&self.path, text).map_err(|error| self.fault("write", &error))
    }

    fn fault(&self, verb: &str, error: &io::Error) -> Failure {
        Failure::new(1, format!("cannot {verb} {}: {error}", Path::display(&self.path)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const COMPLAINT: &str = "# fedgate: ";
