//! Resources from files: YAML with several documents, or JSON.
//!
//! ```text
//!  sources ── files, directories, URLs ──► Text ── split ──► Tree ── Document::parse ──► Loaded
//! ```
//!
//! Everything is read and checked before the first request, and everything that is wrong is told at once.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, io,
};

use super::{
    document::{Document, DocumentError, TOP_LEVEL, ignored_keys},
    fetch::WEB_PAGE,
    tree::Tree,
    yaml::YamlError,
};
use crate::cli::{CONFIG, Failure, output::note};

mod sources;
mod split;
#[cfg(test)]
mod tests;

pub(super) use sources::{Sources, read};

/// A file's text.
#[derive(Debug)]
pub(super) struct Text {
    /// How to call it.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// What the resources are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be written.
    Create,
    /// To be deleted: only type, name and namespace matter.
    Delete,
}

/// Where a resource was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: String,
    /// From 1.
    document: usize,
}

/// A resource and where it was read.
#[derive(Debug)]
pub(super) struct Placed {
    /// The resource.
    pub(super) document: Document,
    /// Where.
    pub(super) place: Place,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is missing, or may not be read.
    #[error("cannot read {file}: {error}")]
    Read {
        /// Which.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// It is larger than it may be.
    #[error("{0} is larger than 256 MiB: split it")]
    TooLarge(String),
    /// It is not text.
    #[error("{0} is not UTF-8 text")]
    Encoding(String),
    /// It is HTML. Usual cause: a download whose address was that of a page.
    #[error("{0} holds no resources: {WEB_PAGE}")]
    WebPage(String),
    /// There is no resource in it.
    #[error("{0} is empty: it holds no resource")]
    Empty(String),
    /// There is no file in the directory.
    #[error("{file} holds no .yaml, .yml or .json file{}", if *.has_directories { ": -r looks into the directories in it" } else { "" })]
    EmptyDirectory {
        /// Which.
        file: String,
        /// Whether there are others in it.
        has_directories: bool,
    },
    /// The server of a URL did not answer with resources.
    #[error("cannot read {file}: {what}")]
    Fetch {
        /// Which.
        file: String,
        /// Why.
        what: String,
    },
    /// A document cannot be parsed, or is not a resource.
    #[error("{place}{}: {what}", shown_line(*.line))]
    Document {
        /// Which one.
        place: Place,
        /// Line in the file, when the parser knows it.
        line: Option<u64>,
        /// What is wrong.
        what: String,
        /// Whether it is a type that cannot be handled.
        is_unknown: bool,
    },
}

/// Collects resources from texts.
struct Reader<'a> {
    namespace: &'a str,
    purpose: Purpose,
    found: Vec<Placed>,
    /// Index of each resource by its path.
    seen: HashMap<String, usize>,
    wrong: Vec<FileError>,
    notes: Vec<String>,
    /// Keys without a meaning, and the first place of one.
    ignored: BTreeSet<String>,
    ignored_at: Option<Place>,
}

/// Checks all of the texts, and says what is wrong with them. What lives in a namespace and names none gets `namespace`;
/// with `skip_unknown`, documents of other types are left out.
pub(super) fn load(
    sources: Sources,
    namespace: &str,
    purpose: Purpose,
    skip_unknown: bool,
) -> Result<Vec<Placed>, Failure> {
    let mut reader = Reader::new(namespace, purpose);
    reader.wrong = sources.wrong;
    sources.texts.iter().for_each(|text| reader.file(text));
    reader.finish(skip_unknown)
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(namespace: &'a str, purpose: Purpose) -> Self {
        Self {
            namespace,
            purpose,
            found: Vec::new(),
            seen: HashMap::new(),
            wrong: Vec::new(),
            notes: Vec::new(),
            ignored: BTreeSet::new(),
            ignored_at: None,
        }
    }

    /// Appends the resources in a file's text.
    fn file(&mut self, Text { name: file, text }: &Text) {
        let (mut document, mut is_empty) = (0, true);
        let mut take = |tree: Tree, line: Option<u64>| {
            document += 1;
            is_empty &= tree.value.is_null();
            self.document(Place { file: file.clone(), document }, tree, line);
        };
        let read = split::documents(text, &mut take);
        if let Err(YamlError { line, what }) = read {
            let place = Place { file: file.clone(), document: document + 1 };
            self.wrong.push(FileError::Document { place, line, what, is_unknown: false });
        } else if is_empty && !self.may_be_empty(file) {
            self.wrong.push(FileError::Empty(file.clone()));
        }
    }

    /// Of nothing, there is nothing to delete: so `dump … | fedgate delete` can be repeated.
    fn may_be_empty(&self, file: &str) -> bool {
        self.purpose == Purpose::Delete && file == STANDARD_INPUT
    }

    fn document(&mut self, place: Place, Tree { value, twice }: Tree, line: Option<u64>) {
        if value.is_null() {
            return;
        }
        let wrong =
            |what: String, is_unknown| FileError::Document { place: place.clone(), line, what, is_unknown };
        if let Some(key) = twice.iter().find(|key| TOP_LEVEL.contains(&key.as_str())) {
            let what = format!("has the key {key} twice: is there a line --- missing between two resources?");
            return self.wrong.push(wrong(what, false));
        }
        let ignored = value.as_object().map(ignored_keys).unwrap_or_default();
        let document = match Document::parse(value, self.namespace) {
            Ok(document) => document,
            Err(error) => {
                let is_unknown = matches!(error, DocumentError::Unknown(_));
                return self.wrong.push(wrong(error.to_string(), is_unknown));
            }
        };
        if document.kind.type_name == "APIKey" && self.purpose == Purpose::Create {
            let what =
                format!("{document}: Sensu names API keys itself: make one with sensuctl api-key grant");
            return self.wrong.push(wrong(what, true));
        }
        for key in &twice {
            self.notes.push(format!("{place}: has the key {key} twice: the last one counts"));
        }
        if !ignored.is_empty() {
            self.ignored.extend(ignored);
            self.ignored_at.get_or_insert_with(|| place.clone());
        }
        self.add(Placed { document, place });
    }

    /// A resource that occurs again is written once, where it occurs first, as it is last.
    fn add(&mut self, placed: Placed) {
        let path = placed.document.path();
        let Some(index) = self.seen.get(&path) else {
            self.seen.insert(path, self.found.len());
            return self.found.push(placed);
        };
        let Some(first) = self.found.get_mut(*index) else { return };
        if self.purpose == Purpose::Create && first.document.body() != placed.document.body() {
            let Placed { document, place } = &placed;
            self.notes.push(format!(
                "{place}: {document} differs from that in {}: the last one counts",
                first.place
            ));
            *first = placed;
        }
    }

    fn finish(mut self, skip_unknown: bool) -> Result<Vec<Placed>, Failure> {
        if let Some(place) = &self.ignored_at {
            let keys: Vec<&str> = self.ignored.iter().map(String::as_str).collect();
            self.notes
                .push(format!("ignored what is under {}, which no resource has ({place})", keys.join(", ")));
        }
        self.notes.iter().for_each(note);
        let (unknown, wrong): (Vec<_>, Vec<_>) = self.wrong.into_iter().partition(FileError::is_unknown);
        if skip_unknown {
            for error in &unknown {
                note(format!("skipped: {error}"));
            }
            return refuse(&wrong, false).map(|()| self.found);
        }
        let hint = wrong.is_empty() && !self.found.is_empty();
        let all: Vec<FileError> = wrong.into_iter().chain(unknown).collect();
        refuse(&all, hint).map(|()| self.found)
    }
}

/// Fails with all that is wrong; `skippable` says that there is more, which could be used without it.
fn refuse(wrong: &[FileError], skippable: bool) -> Result<(), Failure> {
    let advice = if skippable && wrong.len() > 1 { ": --skip-unknown leaves them out" } else { "" };
    match wrong {
        [] => Ok(()),
        [one] => Err(Failure::new(CONFIG, one)),
        many => {
            many.iter().take(MOST_SHOWN).for_each(note);
            let line = format!("nothing was sent: {} documents or files cannot be used{advice}", many.len());
            Err(Failure::new(CONFIG, line))
        }
    }
}

// === impl FileError ===

impl FileError {
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Document { is_unknown: true, .. })
    }
}

// === impl Place ===

/// `clusters.yaml, document 3`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)
    }
}

// === impl Placed ===

impl Placed {
    /// A resource from nowhere.
    #[cfg(test)]
    pub(super) fn of(document: Document) -> Self {
        Self { document, place: Place { file: "f".to_owned(), document: 1 } }
    }
}

/// `clusters.yaml, document 3 (Cluster "beta")`
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.document)
    }
}

fn shown_line(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

/// How the standard input is called.
const STANDARD_INPUT: &str = "standard input";
/// Most errors that are printed one by one.
const MOST_SHOWN: usize = 50;
