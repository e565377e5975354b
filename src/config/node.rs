//! A YAML document as values that know where they were written.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};

use super::{ConfigError, Place};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Any integer that YAML reads as one and that is not negative.
    Whole(u64),
    /// A negative, fractional or huge number.
    OtherNumber(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

// === impl Node ===

impl Node {
    /// Parses one YAML document; an empty one is null.
    pub(super) fn parse(text: &str, origin: &Arc<str>) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            with_snippet: false,
        };
        let at = |line| Place::File { origin: Arc::clone(origin), line };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(raw) => Ok(Self::locate(raw, &at)),
            Err(error) => {
                let line = error.location().map(|l| l.line()).filter(|line| *line > 0);
                Err(ConfigError::Syntax { place: at(line), what: said(&error) })
            }
        }
    }

    /// The same value as if it had been written at `place`, all of it.
    pub(super) fn moved(self, place: &Place) -> Self {
        let value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|item| item.moved(place)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|e| Entry { key: e.key, place: place.clone(), node: e.node.moved(place) })
                    .collect(),
            ),
            scalar => scalar,
        };
        Self { value, place: place.clone() }
    }

    /// Sets the value of a key, making the sections on the way to it.
    pub(super) fn set(&mut self, path: &[&str], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        // Anything else in the place of a section stays, to be refused for its type.
        let Value::Map(entries) = &mut self.value else { return };
        let at = entries.iter().position(|entry| entry.key == *first).unwrap_or_else(|| {
            let empty = Self { value: Value::Null, place: node.place.clone() };
            entries.push(Entry { key: (*first).to_owned(), place: node.place.clone(), node: empty });
            entries.len() - 1
        });
        if rest.is_empty() {
            entries[at].place = node.place.clone();
        }
        entries[at].node.set(rest, node);
    }

    /// Where a key such as `clusters[1].name` is written, or the nearest thing above it that is.
    pub(super) fn place_of(&self, key: &str) -> &Place {
        self.find(key).1
    }

    /// Where the value of such a key begins.
    pub(super) fn value_place_of(&self, key: &str) -> &Place {
        &self.find(key).0.place
    }

    fn find(&self, key: &str) -> (&Self, &Place) {
        let (mut node, mut place) = (self, &self.place);
        for part in key.split(['.', '[']) {
            let child = match &node.value {
                Value::Map(entries) => {
                    entries.iter().find(|entry| entry.key == part).map(|entry| (&entry.node, &entry.place))
                }
                Value::List(items) => part
                    .strip_suffix(']')
                    .and_then(|index| items.get(index.parse::<usize>().ok()?))
                    .map(|item| (item, &item.place)),
                _ => None,
            };
            let Some((child, at)) = child else { break };
            (node, place) = (child, at);
        }
        (node, place)
    }

    fn locate(raw: Spanned<Raw>, at: &dyn Fn(Option<u64>) -> Place) -> Self {
        let place = at(Some(raw.referenced.line()).filter(|line| *line > 0));
        let value = match raw.value {
            Raw::Scalar(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(|item| Self::locate(item, at)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        place: at(Some(key.referenced.line()).filter(|line| *line > 0)),
                        key: key.value,
                        node: Self::locate(value, at),
                    })
                    .collect(),
            ),
        };
        Self { value, place }
    }
}

/// What the YAML crate returns: spans, but not yet the file's name.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Whole(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(u64::try_from(value).map_or(Value::OtherNumber(OUT_OF_RANGE), Value::Whole)))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::OtherNumber(OUT_OF_RANGE)))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::OtherNumber(OUT_OF_RANGE)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::OtherNumber(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Stands for negative and huge integers, which no key takes.
const OUT_OF_RANGE: f64 = f64::NAN;

/// The parser's message on one line, without the position that [`Place`] already gives.
fn said(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}
