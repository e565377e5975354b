//! What an answer looks like, as far as the gateway edits it: a graph of selections with roles.
//!
//! A [`Shape`] is what one selection set (or several that GraphQL merges) makes of an object: the keys of interest, what
//! each value is, and the shape below it. Equal selections on equal types share one shape, so fragments that repeat each
//! other cost their length, not the product of their lengths.
//!
//! Under an interface or union the same key can be a namespace for one type and anything for another. Such a shape asks
//! for the type's name under a key of the gateway's own, which sorts and is written before all others and is taken out
//! of the answer again.

use std::collections::{BTreeMap, HashMap};

use super::{
    ast::{Document, Field, Selection, SelectionSet, Span},
    limits::{self, Limit},
    schema::{Role, Schema, TypeId},
};

/// Index of a shape.
pub(super) type ShapeId = usize;

/// The keys of one object.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The key whose string value selects among cases.
    pub(super) discriminator: Option<Discriminator>,
    /// Sorted by key; only keys of interest.
    pub(super) keys: Vec<(Box<str>, Cases)>,
    /// The index in `keys` of one with the same slot, so that most keys need no search.
    pub(super) slots: [Slot; SLOTS],
}

/// The keys of interest that share a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    None,
    /// One, by its place.
    One(u8),
    /// More than one, or one at a large index.
    Search,
}

#[derive(Clone, Debug)]
pub(super) struct Discriminator {
    pub(super) key: Box<str>,
    /// Whether the gateway added it and removes it again.
    pub(super) private: bool,
}

/// What a key's value is.
#[derive(Clone, Debug)]
pub(super) struct Cases {
    /// What it is unless a case says otherwise.
    pub(super) otherwise: Action,
    /// By the discriminator's value.
    pub(super) by_type: Vec<(Box<str>, Action)>,
}

/// What is done with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) role: Role,
    pub(super) child: Option<ShapeId>,
}

/// All shapes of an operation, and where the gateway's own keys go into the document.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    pub(super) all: Vec<Shape>,
    /// Selection sets that ask for the type's name, by id: where in the text, and under which key.
    pub(super) asking: BTreeMap<usize, (usize, Box<str>)>,
    /// Fields that only the gateway knows: where their names stand, and whether they have an alias.
    pub(super) own_fields: BTreeMap<usize, (Span, bool)>,
}

/// Why no shapes could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShapeError {
    /// A field, type or fragment that the schema or the document does not have.
    Unknown,
    /// Too much work.
    Limit(Limit),
}

/// Builds the shapes of one operation.
pub(super) struct Builder<'a> {
    schema: &'a Schema,
    document: &'a Document,
    shapes: Shapes,
    /// By parent type and the selection sets that are merged.
    known: HashMap<(TypeId, Vec<usize>), Option<ShapeId>>,
    wrapped: Option<ShapeId>,
    /// The sets that ask, as an earlier build has found them: their answers hold the key wherever they are used.
    asking: BTreeMap<usize, (usize, Box<str>)>,
    steps: usize,
}

/// A key's fields for one concrete type.
type Collected<'a> = BTreeMap<&'a str, Vec<&'a Field>>;

// === impl Builder ===

impl<'a> Builder<'a> {
    pub(super) fn new(schema: &'a Schema, document: &'a Document) -> Self {
        Self {
            asking: BTreeMap::new(),
            schema,
            document,
            shapes: Shapes::default(),
            known: HashMap::new(),
            wrapped: None,
            steps: 0,
        }
    }

    /// The shape of the whole operation, and all below it.
    pub(super) fn build(mut self, root: TypeId) -> Result<(Option<ShapeId>, Shapes), ShapeError> {
        let sets = [&self.document.operation.set];
        let mut shape = self.shape(root, &sets)?;
        if !self.shapes.asking.is_empty() {
            self.asking = std::mem::take(&mut self.shapes).asking;
            self.known.clear();
            self.wrapped = None;
            shape = self.shape(root, &sets)?;
        }
        for shape in &mut self.shapes.all {
            shape.index();
        }
        Ok((shape, self.shapes))
    }

    /// What becomes of a field's value; `fields` are all that are merged under one key.
    pub(super) fn action(&mut self, parent: TypeId, fields: &[&'a Field]) -> Result<Action, ShapeError> {
        let first = fields.first().ok_or(ShapeError::Unknown)?;
        if first.name.starts_with("__") {
            return Ok(Action::default());
        }
        let definition = self.schema.ty(parent).field(&first.name).ok_or(ShapeError::Unknown)?;
        let sets: Vec<&'a SelectionSet> = fields.iter().filter_map(|field| field.set.as_ref()).collect();
        let child = match definition.role {
            Role::Wrapped => Some(self.wrapped()),
            _ if sets.is_empty() => None,
            _ => self.shape(definition.base, &sets)?,
        };
        if definition.role == Role::Cluster {
            let own = fields
                .iter()
                .map(|field| (field.name_span.start, (field.name_span.clone(), field.alias.is_some())));
            self.shapes.own_fields.extend(own);
        }
        Ok(Action { role: definition.role, child })
    }

    /// The shape of merged selection sets on a type; none when nothing in it is of interest.
    pub(super) fn shape(
        &mut self,
        parent: TypeId,
        sets: &[&'a SelectionSet],
    ) -> Result<Option<ShapeId>, ShapeError> {
        let mut ids: Vec<usize> = sets.iter().map(|set| set.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if let Some(known) = self.known.get(&(parent, ids.clone())) {
            return Ok(*known);
        }
        let shape = self.merge(parent, sets)?;
        let id = if shape.keys.is_empty() && shape.discriminator.is_none() {
            None
        } else {
            self.shapes.all.push(shape);
            Some(self.shapes.all.len() - 1)
        };
        self.known.insert((parent, ids), id);
        Ok(id)
    }

    fn merge(&mut self, parent: TypeId, sets: &[&'a SelectionSet]) -> Result<Shape, ShapeError> {
        let mut keys: BTreeMap<&'a str, Vec<(TypeId, Action)>> = BTreeMap::new();
        let schema = self.schema;
        for concrete in schema.ty(parent).possible.iter().copied() {
            let mut collected = Collected::new();
            let mut spread = vec![false; self.document.fragments.len()];
            for set in sets {
                self.collect(concrete, set, &mut spread, &mut collected)?;
            }
            for (key, fields) in collected {
                let action = self.action(concrete, &fields)?;
                keys.entry(key).or_default().push((concrete, action));
            }
        }
        let mut shape = Shape::default();
        let used: Vec<&str> = keys.keys().copied().collect();
        for (key, actions) in keys {
            let interesting = actions.iter().any(|(_, action)| *action != Action::default());
            if !interesting {
                continue;
            }
            let first = actions[0].1;
            let same = actions.iter().all(|(_, action)| *action == first);
            let cases = if same {
                Cases { otherwise: first, by_type: Vec::new() }
            } else {
                let named = |(ty, action): &(TypeId, Action)| (schema.ty(*ty).name.clone(), *action);
                Cases { otherwise: Action::default(), by_type: actions.iter().map(named).collect() }
            };
            shape.keys.push((key.into(), cases));
        }
        let ambiguous = shape.keys.iter().any(|(_, cases)| !cases.by_type.is_empty());
        if let Some(key) = self.asked_key(sets, &used, ambiguous) {
            let dependent = |(name, cases): &(Box<str>, Cases)| !cases.by_type.is_empty() && **name < *key;
            if used.contains(&&*key) || shape.keys.iter().any(dependent) {
                return Err(ShapeError::Limit(Limit::Complexity));
            }
            for set in sets {
                let asked = self.shapes.asking.entry(set.id).or_insert_with(|| (set.start, key.clone()));
                if asked.1 != key {
                    return Err(ShapeError::Limit(Limit::Complexity));
                }
            }
            shape.discriminator = Some(Discriminator { key, private: true });
        }
        Ok(shape)
    }

    /// The key under which these sets ask for the type's name, if they do: one that comes before all others.
    fn asked_key(&self, sets: &[&'a SelectionSet], used: &[&str], ambiguous: bool) -> Option<Box<str>> {
        if let Some((_, key)) = sets.iter().find_map(|set| self.asking.get(&set.id)) {
            return Some(key.clone());
        }
        if !ambiguous {
            return None;
        }
        let mut key = "A".to_owned();
        while used.contains(&key.as_str()) {
            key.push('0');
        }
        Some(key.into())
    }

    /// The fields of a set for a concrete type, fragments opened (GraphQL, "Field Collection").
    fn collect(
        &mut self,
        concrete: TypeId,
        set: &'a SelectionSet,
        spread: &mut Vec<bool>,
        into: &mut Collected<'a>,
    ) -> Result<(), ShapeError> {
        let document = self.document;
        for item in &set.items {
            self.steps += 1;
            if self.steps > limits::STEPS {
                return Err(ShapeError::Limit(Limit::Complexity));
            }
            match item {
                Selection::Field(field) => into.entry(field.key()).or_default().push(field),
                Selection::Inline(inline) => {
                    if self.applies(inline.condition.as_deref(), concrete)? {
                        self.collect(concrete, &inline.set, spread, into)?;
                    }
                }
                Selection::Spread(found) => {
                    let index = *document.by_name.get(&found.name).ok_or(ShapeError::Unknown)?;
                    let fragment = &document.fragments[index];
                    if !std::mem::replace(&mut spread[index], true)
                        && self.applies(Some(&fragment.condition), concrete)?
                    {
                        self.collect(concrete, &fragment.set, spread, into)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn applies(&self, condition: Option<&str>, concrete: TypeId) -> Result<bool, ShapeError> {
        let Some(condition) = condition else { return Ok(true) };
        let condition = self.schema.id(condition).ok_or(ShapeError::Unknown)?;
        Ok(self.schema.ty(condition).possible.binary_search(&concrete).is_ok())
    }

    /// The shape of a resource as the REST API writes it: `metadata.namespace`, also in an event's entity and check, and
    /// the name of a namespace object.
    fn wrapped(&mut self) -> ShapeId {
        if let Some(known) = self.wrapped {
            return known;
        }
        let child =
            |id| Cases { otherwise: Action { role: Role::Plain, child: Some(id) }, by_type: Vec::new() };
        let namespace = Action { role: Role::Namespace, child: None };
        let leaf = |key: &str| Shape {
            keys: vec![(key.into(), Cases { otherwise: namespace, by_type: Vec::new() })],
            ..Shape::default()
        };
        let first = self.shapes.all.len();
        let [metadata, part, spec, name, whole] = [0, 1, 2, 3, 4].map(|n| first + n);
        let or_name = |id| Cases {
            otherwise: Action { role: Role::Plain, child: Some(id) },
            by_type: vec![("Namespace".into(), Action { role: Role::Plain, child: Some(name) })],
        };
        let parts = [
            ("check".into(), child(part)),
            ("entity".into(), child(part)),
            ("metadata".into(), child(metadata)),
        ];
        let mut outer = Vec::from(parts.clone());
        outer[2].1 = or_name(metadata);
        outer.push(("spec".into(), or_name(spec)));
        self.shapes.all.extend([
            leaf("namespace"),
            Shape { keys: vec![("metadata".into(), child(metadata))], ..Shape::default() },
            Shape { keys: parts.into(), ..Shape::default() },
            leaf("name"),
            Shape {
                discriminator: Some(Discriminator { key: "type".into(), private: false }),
                keys: outer,
                ..Shape::default()
            },
        ]);
        self.wrapped = Some(whole);
        whole
    }
}

// === impl Shape ===

impl Default for Shape {
    fn default() -> Self {
        Self { discriminator: None, keys: Vec::new(), slots: [Slot::None; SLOTS] }
    }
}

impl Shape {
    /// Fills the slots.
    fn index(&mut self) {
        for (index, (key, _)) in self.keys.iter().enumerate() {
            let slot = &mut self.slots[slot(key.as_bytes())];
            *slot = match (*slot, u8::try_from(index)) {
                (Slot::None, Ok(index)) => Slot::One(index),
                _ => Slot::Search,
            };
        }
    }

    /// What is done with the value of a key, for a type that may not be known.
    pub(super) fn action(&self, key: &[u8], ty: Option<&[u8]>) -> Action {
        let found = match self.slots[slot(key)] {
            Slot::None => None,
            Slot::One(index) => {
                self.keys.get(usize::from(index)).filter(|(known, _)| known.as_bytes() == key)
            }
            Slot::Search => {
                let index = self.keys.binary_search_by(|(known, _)| known.as_bytes().cmp(key));
                index.ok().and_then(|index| self.keys.get(index))
            }
        };
        let Some((_, cases)) = found else { return Action::default() };
        let case = ty.and_then(|ty| cases.by_type.iter().find(|(name, _)| name.as_bytes() == ty));
        case.map_or(cases.otherwise, |(_, action)| *action)
    }
}

/// Slots of a shape.
const SLOTS: usize = 64;

/// The slot of a key.
fn slot(key: &[u8]) -> usize {
    let first = key.first().copied().unwrap_or_default();
    usize::from(first).wrapping_add(key.len() * 5) % SLOTS
}
