//! Reads [`Node`]s into structs and says what is wrong in the words of this configuration.

use std::{
    fmt::{self, Display},
    slice,
};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    ConfigError, Place,
    node::{Entry, Node, Value},
};

/// Reads a whole document.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(Reader(root)).map_err(|error| {
        let is_root = error.path().iter().len() == 0;
        let key = if is_root { "the configuration".to_owned() } else { error.path().to_string() };
        let place = root.value_place_of(&key).clone();
        ConfigError::Value { place, key, what: error.into_inner().0 }
    })
}

/// One value.
struct Reader<'a>(&'a Node);

/// What is wrong.
#[derive(Debug)]
struct Fault(String);

// === impl Reader ===

impl Reader<'_> {
    fn whole(&self, max: u64) -> Result<u64, Fault> {
        match self.0.value {
            Value::Whole(number) if number <= max => Ok(number),
            Value::Whole(_) => Err(fault(format!("must be at most {max}"))),
            _ => Err(fault("must be a whole number, 0 or more")),
        }
    }

    fn text(&self) -> Result<&str, Fault> {
        match &self.0.value {
            Value::Text(text) => Ok(text),
            Value::Bool(_) | Value::Whole(_) | Value::OtherNumber(_) => {
                Err(fault("must be a text: put it in quotes"))
            }
            Value::Null | Value::List(_) | Value::Map(_) => Err(fault("must be a single text")),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Whole(number) => visitor.visit_u64(*number),
            Value::OtherNumber(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { left: entries.iter(), value: None }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.value {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(fault("must be true or false")),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.whole(u64::from(u32::MAX))?;
        visitor.visit_u64(number)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // `usize` comes here too; no sensible count needs more than 32 bits on any machine.
        let number = self.whole(u64::from(u32::MAX))?;
        visitor.visit_u64(number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text()?;
        visitor.visit_str(text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // A key without a value never gets here: it counts as not written.
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::List(_) => self.deserialize_any(visitor),
            // In a variable `a,b` is the common spelling of a list.
            Value::Text(text) if matches!(self.0.place, Place::Variable(_)) => {
                let item = |part: &str| Node { value: Value::Text(part.trim().to_owned()), ..self.0.clone() };
                let items: Vec<Node> = text.split(',').map(item).collect();
                visitor.visit_seq(Items(items.iter()))
            }
            _ => Err(fault("must be a list, written [a, b] or one \"- item\" a line")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(fault("must be a section: its keys go below it, indented")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Text(text) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            _ => Err(fault(format!("must be one of {}", variants.join(", ")))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map identifier ignored_any
    }
}

/// The items of a list.
struct Items<'a>(slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|node| seed.deserialize(Reader(node))).transpose()
    }
}

/// The entries of a section but for those without a value, which count as not written.
struct Entries<'a> {
    left: slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.left.find(|entry| !matches!(entry.node.value, Value::Null));
        match self.value {
            Some(entry) => seed.deserialize(entry.key.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry = self.value.take().ok_or_else(|| de::Error::custom("has no value"))?;
        seed.deserialize(Reader(&entry.node))
    }
}

fn fault(what: impl Display) -> Fault {
    Fault(what.to_string())
}

// === impl Fault ===

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(what: T) -> Self {
        fault(what)
    }

    fn invalid_type(_: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        // The visitors of the sections' types say "must be …"; the found value is not repeated.
        Self::custom(wanted)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key {field:?} is missing: add it"))
    }
}
