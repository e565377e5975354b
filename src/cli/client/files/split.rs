//! A file's text as documents: YAML between `---`, JSON one after another, or both.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::cli::client::{
    tree::Tree,
    yaml::{self, YamlError},
};

/// Takes a document and the line that it begins at, if that is known.
pub(super) type Take<'a> = dyn FnMut(Tree, Option<u64>) + 'a;

/// Finds the lines of a text's parts, which come in the order of the text.
struct Lines<'a> {
    text: &'a str,
    /// How much of the text is before the last part.
    at: usize,
    /// Line of the last part.
    line: u64,
}

/// One document's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) text: &'a str,
    /// Lines before it.
    pub(super) offset: usize,
}

/// Splits and parses a text. Ends at what is neither YAML nor JSON.
pub(super) fn documents(text: &str, take: &mut Take<'_>) -> Result<(), YamlError> {
    let text = without_marks(text);
    chunks(&text).iter().try_for_each(|chunk| chunk.documents(take))
}

/// The text without byte-order marks, which tools put at the start of each file that others join. There is none inside of
/// a text at the start of a line: JSON's texts have no lines, and YAML's are indented.
pub(super) fn without_marks(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches(MARK);
    if !text.contains(MARK) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    text.split_inclusive('\n').for_each(|line| out.push_str(line.trim_start_matches(MARK)));
    out.into()
}

/// Splits at every line that begins with `---`, as Sensu's own client does; nothing else in YAML can look like a
/// document marker (YAML 1.2, 9.1.2), and a longer one is left out: YAML would take it for text.
///
/// What precedes the first marker is not a document when it holds only comments and directives.
pub(super) fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_end = is_end_marker(line);
        let is_rule = line.starts_with("---") && !is_marker(line);
        if is_end || (line.starts_with("---") && !is_preamble(&text[start..at])) {
            let end = if is_end { at + line.len() } else { at };
            chunks.push(Chunk { text: &text[start..end], offset });
            (start, offset) = (end, if is_end { number + 1 } else { number });
        }
        at += line.len();
        if is_rule {
            (start, offset) = (at, number + 1);
        }
    }
    if !is_preamble(&text[start..]) {
        chunks.push(Chunk { text: &text[start..], offset });
    }
    chunks
}

// === impl Chunk ===

impl Chunk<'_> {
    fn documents(&self, take: &mut Take<'_>) -> Result<(), YamlError> {
        let Some(body) = self.json() else { return self.yaml(take) };
        let mut found = Vec::new();
        let read = json_documents(&body, &mut |tree, line| found.push((tree, line)));
        // `{type: Asset}` is YAML, too.
        if read.is_err() && !looks_quoted(body.text) {
            return self.yaml(take);
        }
        for (tree, line) in found {
            take(tree, line);
        }
        read
    }

    /// The part that may be JSON.
    fn json(&self) -> Option<Chunk<'_>> {
        let (mut text, mut offset) = (self.text, self.offset);
        let first = text.split_inclusive('\n').next().unwrap_or_default();
        if is_marker(first) && is_preamble(&first[3..]) {
            (text, offset) = (&text[first.len()..], offset + 1);
        }
        let last = text.split_inclusive('\n').next_back().unwrap_or_default();
        if is_end_marker(last) {
            text = &text[..text.len() - last.len()];
        }
        text.trim_start().starts_with(['{', '[']).then_some(Chunk { text, offset })
    }

    /// A document may be a list of resources.
    fn yaml(&self, take: &mut Take<'_>) -> Result<(), YamlError> {
        let offset = self.offset as u64;
        let tree = yaml::read_tree(self.text)
            .map_err(|YamlError { line, what }| YamlError { line: line.map(|line| line + offset), what })?;
        let line = offset + first_content(self.text) as u64 + 1;
        items(tree).for_each(|(item, is_item)| take(item, (!is_item).then_some(line)));
        Ok(())
    }
}

// === impl Lines ===

impl Lines<'_> {
    /// The line that a part begins at, which is not before the last one.
    fn of(&mut self, part: &str) -> u64 {
        // It borrows from the text, so the distance is the offset.
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.get(self.at..at).unwrap_or_default();
        self.line += between.matches('\n').count() as u64;
        self.at = at;
        self.line
    }
}

/// JSON: objects one after another, or arrays of them.
fn json_documents(chunk: &Chunk<'_>, take: &mut Take<'_>) -> Result<(), YamlError> {
    let mut lines = Lines { text: chunk.text, at: 0, line: chunk.offset as u64 + 1 };
    let mut rest = chunk.text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == MARK);
        if rest.is_empty() {
            return Ok(());
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(item) = stream.next() else { return Ok(()) };
        let item = item.map_err(|error| not_json(&error, lines.of(rest) - 1))?;
        rest = &rest[stream.byte_offset()..];
        let parts: Vec<&RawValue> = if item.get().starts_with('[') {
            serde_json::from_str(item.get()).map_err(|error| not_json(&error, lines.of(item.get()) - 1))?
        } else {
            vec![item]
        };
        for part in parts {
            let line = lines.of(part.get());
            let tree = serde_json::from_str(part.get()).map_err(|error| not_json(&error, line - 1))?;
            take(tree, Some(line));
        }
    }
}

/// The items of a list, or what is not a list itself; and whether it is an item.
fn items(tree: Tree) -> Box<dyn Iterator<Item = (Tree, bool)>> {
    let Tree { value, twice } = tree;
    match value {
        serde_json::Value::Array(items) => {
            Box::new(items.into_iter().enumerate().map(move |(index, value)| {
                let own = format!("[{index}].");
                let twice =
                    twice.iter().filter_map(|path| path.strip_prefix(&own).map(str::to_owned)).collect();
                (Tree { value, twice }, true)
            }))
        }
        value => Box::new(std::iter::once((Tree { value, twice }, false))),
    }
}

/// Whether it begins like JSON and not like YAML's flow style.
fn looks_quoted(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '[' | '{'))
        .starts_with(['"', '}', ']'])
        || text.trim_start().len() <= 1
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_end_marker(line: &str) -> bool {
    line.strip_prefix("...").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

pub(super) fn is_preamble(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.starts_with('%'))
}

/// Number of lines before the first one with content.
fn first_content(text: &str) -> usize {
    let is_blank = |line: &str| is_marker(line) && line.trim_end().len() == 3 || is_preamble(line);
    text.lines().take_while(|line| is_blank(line)).count()
}

fn not_json(error: &serde_json::Error, offset: u64) -> YamlError {
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    YamlError { line: Some(error.line() as u64 + offset), what: format!("is not valid JSON: {what}") }
}

/// The byte-order mark.
const MARK: char = '\u{feff}';
