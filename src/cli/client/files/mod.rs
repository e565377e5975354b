//! Resources from files: YAML with several documents, or JSON.

use std::{
    collections::HashMap,
    fmt, fs,
    io::{self, Read},
};

use serde_json::{Value, value::RawValue};

use super::{
    document::Document,
    yaml::{self, YamlError},
};

#[cfg(test)]
mod tests;

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
    /// It is missing, a directory, or may not be read.
    #[error("cannot read {file}: {error}{}", hint(.error))]
    Read {
        /// Which.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// It is larger than [`MAX_FILE`].
    #[error("{0} is larger than 256 MiB: split it")]
    TooLarge(String),
    /// It is not text.
    #[error("{0} is not UTF-8 text")]
    Encoding(String),
    /// There is no resource in it.
    #[error("{0} is empty: it holds no resource")]
    Empty(String),
    /// A document cannot be parsed, or is not a resource.
    #[error("{place}{}: {what}", shown_line(*.line))]
    Document {
        /// Which one.
        place: Place,
        /// Line in the file, when the parser knows it.
        line: Option<u64>,
        /// What is wrong.
        what: String,
    },
}

/// Collects resources from files.
struct Reader<'a> {
    namespace: &'a str,
    found: Vec<Placed>,
    /// Index of each resource's first appearance by its path.
    seen: HashMap<String, usize>,
}

/// Takes a document and the line that it begins at, if that is known.
type Take<'a> = dyn FnMut(Value, Option<u64>) -> Result<(), FileError> + 'a;

/// Why reading a file ended early.
enum Stop {
    /// A document is not a resource.
    File(FileError),
    /// The text is not YAML or JSON from here.
    Syntax(YamlError),
}

/// One document's text.
#[derive(Debug, PartialEq, Eq)]
struct Chunk<'a> {
    text: &'a str,
    /// Lines before it.
    offset: usize,
}

// === impl Place ===

/// `clusters.yaml, document 3`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)
    }
}

// === impl Placed ===

/// `clusters.yaml, document 3 (Cluster "beta")`
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.document)
    }
}

/// Reads every file (`-` is the standard input) and checks all of it. What lives in a namespace and names none gets
/// `namespace`.
pub(super) fn load(files: &[String], namespace: &str) -> Result<Vec<Placed>, FileError> {
    let mut reader = Reader { namespace, found: Vec::new(), seen: HashMap::new() };
    for file in files {
        let (name, text) = read(file)?;
        reader.file(&name, &text)?;
    }
    Ok(reader.found)
}

fn read(file: &str) -> Result<(String, String), FileError> {
    let name = if file == "-" { "standard input" } else { file }.to_owned();
    let mut bytes = Vec::new();
    let done = if file == "-" {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    match done {
        Err(error) => return Err(FileError::Read { file: name, error }),
        Ok(_) if bytes.len() as u64 > MAX_FILE => return Err(FileError::TooLarge(name)),
        Ok(_) => {}
    }
    String::from_utf8(bytes).map_err(|_| FileError::Encoding(name.clone())).map(|text| (name, text))
}

// === impl Reader ===

impl Reader<'_> {
    /// Appends the resources in a file's text.
    fn file(&mut self, file: &str, text: &str) -> Result<(), FileError> {
        let before = self.found.len();
        let mut document = 0;
        let mut take = |value: Value, line: Option<u64>| {
            document += 1;
            self.document(Place { file: file.to_owned(), document }, value, line)
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_json = text.trim_start().starts_with(['{', '[']);
        // Documents between `---` may be JSON too, which is a subset of YAML.
        let read = if is_json && !text.lines().any(is_marker) {
            json_documents(text, &mut take)
        } else {
            yaml_documents(text, &mut take)
        };
        match read {
            Err(Stop::File(error)) => return Err(error),
            Err(Stop::Syntax(YamlError { line, what })) => {
                let place = Place { file: file.to_owned(), document: document + 1 };
                return Err(FileError::Document { place, line, what });
            }
            Ok(()) => {}
        }
        if self.found.len() == before { Err(FileError::Empty(file.to_owned())) } else { Ok(()) }
    }

    fn document(&mut self, place: Place, value: Value, line: Option<u64>) -> Result<(), FileError> {
        if value.is_null() {
            return Ok(());
        }
        let document = match Document::parse(value, self.namespace) {
            Ok(document) => document,
            Err(what) => return Err(FileError::Document { place, line, what }),
        };
        if let Some(first) = self.seen.get(&document.path()) {
            let what = format!("{document} is already in {}", self.found[*first].place);
            return Err(FileError::Document { place, line, what });
        }
        self.seen.insert(document.path(), self.found.len());
        self.found.push(Placed { document, place });
        Ok(())
    }
}

/// JSON: objects one after another, or arrays of them.
fn json_documents(text: &str, take: &mut Take<'_>) -> Result<(), Stop> {
    // `part` borrows from `text`, so the distance is the offset.
    let line_of = |part: &str| {
        let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        text[..offset.min(text.len())].matches('\n').count() as u64 + 1
    };
    for item in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let item = item.map_err(|error| not_json(&error, 0))?;
        let parts: Vec<&RawValue> = if item.get().starts_with('[') {
            serde_json::from_str(item.get()).map_err(|error| not_json(&error, line_of(item.get()) - 1))?
        } else {
            vec![item]
        };
        for part in parts {
            let line = line_of(part.get());
            let value = serde_json::from_str(part.get()).map_err(|error| not_json(&error, line - 1))?;
            take(value, Some(line))?;
        }
    }
    Ok(())
}

/// YAML: documents between `---`; a document may be a list of resources.
fn yaml_documents(text: &str, take: &mut Take<'_>) -> Result<(), Stop> {
    for Chunk { text, offset } in chunks(text) {
        let offset = offset as u64;
        let value = yaml::read(text).map_err(|YamlError { line, what }| {
            Stop::Syntax(YamlError { line: line.map(|line| line + offset), what })
        })?;
        let line = offset + first_content(text) as u64 + 1;
        match value {
            // Where the items of a list begin is not known.
            Value::Array(items) => items.into_iter().try_for_each(|item| take(item, None))?,
            value => take(value, Some(line))?,
        }
    }
    Ok(())
}

/// Splits at document markers; nothing else in YAML can look like one (YAML 1.2, 9.1.2).
///
/// What precedes the first marker is not a document when it holds only comments and directives.
fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_end = is_end_marker(line);
        if (is_marker(line) && !is_preamble(&text[start..at])) || is_end {
            let end = if is_end { at + line.len() } else { at };
            chunks.push(Chunk { text: &text[start..end], offset });
            (start, offset) = (end, if is_end { number + 1 } else { number });
        }
        at += line.len();
    }
    if !is_preamble(&text[start..]) {
        chunks.push(Chunk { text: &text[start..], offset });
    }
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_end_marker(line: &str) -> bool {
    line.strip_prefix("...").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_preamble(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.starts_with('%'))
}

/// Number of lines before the first one with content.
fn first_content(text: &str) -> usize {
    let is_blank = |line: &str| is_marker(line) && line.trim_end().len() == 3 || is_preamble(line);
    text.lines().take_while(|line| is_blank(line)).count()
}

fn not_json(error: &serde_json::Error, offset: u64) -> Stop {
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    let line = Some(error.line() as u64 + offset);
    Stop::Syntax(YamlError { line, what: format!("is not valid JSON: {what}") })
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::IsADirectory {
        ": name the files in it, such as DIRECTORY/*.yaml"
    } else {
        ""
    }
}

fn shown_line(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Largest file, in bytes.
const MAX_FILE: u64 = 256 << 20;
