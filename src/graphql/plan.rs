//! What follows from a document without its variables: root fields, what names their clusters, the shape of their answers.
//! A plan is made once per document and schema, and cached.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value as Json;

use super::{
    ast::{Document, Field, OperationKind, Selection, SelectionSet, Span, Value},
    introspect,
    json_text::write_object,
    limits::Limit,
    literal::{self, Edit, Found, Names},
    measure,
    parse::{self, ParseError, Parsed},
    schema::{Carrier, Role, Schema, TypeId},
    shape::{Builder, ShapeError, ShapeId, Shapes},
};

/// What the gateway makes of a document.
#[derive(Clone, Debug)]
pub(super) enum Planned {
    /// It sends each cluster its part.
    Federated(Arc<Plan>),
    /// Not a valid operation on the schema: the local cluster answers, with Sensu's own errors.
    Unchanged,
    /// Refused.
    Limit(Limit),
}

/// A document that can be sent in parts.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<Schema>,
    pub(super) text: Box<str>,
    pub(super) document: Document,
    /// One per key of the answer, in the client's order.
    pub(super) roots: Vec<Root>,
    pub(super) shape: Option<ShapeId>,
    pub(super) shapes: Shapes,
    /// Sorted, disjoint changes that every cluster's document needs.
    pub(super) edits: Vec<Edit>,
    /// Whether an edit moves what follows it, so that locations in errors no longer fit the client's document.
    pub(super) moved: bool,
    /// Variables that carry a cluster in any root field.
    pub(super) variables: Vec<(Box<str>, Carrier)>,
    /// What the default values of such variables name.
    pub(super) defaults: HashMap<(Box<str>, Carrier), Names>,
    /// The key under which introspected types say their names to the gateway.
    pub(super) introspected: Option<Box<str>>,
}

/// The root fields of one key.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) key: Box<str>,
    /// Where the fields start in the text.
    pub(super) fields: Vec<usize>,
    pub(super) kind: RootKind,
    /// What its literals name.
    pub(super) names: Names,
    /// Its variables that name clusters.
    pub(super) variables: Vec<(Box<str>, Carrier)>,
    /// Its first literal that names a cluster.
    pub(super) literal: Option<Box<str>>,
    pub(super) non_null: bool,
    /// Its value when what it names is nowhere, if that is not null.
    pub(super) empty: Option<Box<str>>,
    /// The conditions under which it is left out: variable, and the value that leaves it out. Only when it has one field.
    pub(super) skipped_if: Vec<(Box<str>, bool)>,
}

/// Who answers a root field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RootKind {
    /// The local cluster, or the one that its arguments name.
    Plain,
    /// Any cluster: `__typename`.
    Anywhere,
    /// The local cluster, with what the gateway adds: `__schema`, `__type`.
    Introspection,
    /// A namespace by its name, with fields that all follow from the name.
    Named(NamespaceFields),
    /// The same, asked by Sensu's web UI for the route of a page: its answer has the id too.
    Route(NamespaceFields),
    /// Every cluster: it holds lists of namespaces.
    Viewer(Viewer),
}

/// Keys of a namespace that follow from its qualified name.
pub(super) type NamespaceFields = Vec<(Box<str>, NamespaceField)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamespaceField {
    Name,
    Id,
    Cluster,
    Typename,
}

/// A selection with lists of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Viewer {
    /// The keys of the lists; and what their items are, when that follows from names.
    pub(super) lists: Vec<(Box<str>, Option<NamespaceFields>)>,
    /// Keys of the type's name.
    pub(super) typenames: Vec<Box<str>>,
    /// The type's name.
    pub(super) ty: Box<str>,
    /// All other keys.
    pub(super) others: Vec<Box<str>>,
    /// Whether every key is surely in the answer: the document has no directives.
    pub(super) sure: bool,
}

/// Plans a document, which must be valid.
pub(super) fn plan(text: &str, schema: &Arc<Schema>) -> Planned {
    planned(try_plan(text, schema, true))
}

/// Plans a document whose client wants no validation.
pub(super) fn plan_unvalidated(text: &str, schema: &Arc<Schema>) -> Planned {
    planned(try_plan(text, schema, false))
}

fn planned(result: Result<Plan, ParseError>) -> Planned {
    match result {
        Ok(plan) => Planned::Federated(Arc::new(plan)),
        Err(ParseError::NotUnderstood) => Planned::Unchanged,
        Err(ParseError::Limit(limit)) => Planned::Limit(limit),
    }
}

fn try_plan(text: &str, schema: &Arc<Schema>, validate: bool) -> Result<Plan, ParseError> {
    let Parsed { document, tree } = parse::parse(text)?;
    measure::check(&document)?;
    let root_type = match document.operation.kind {
        OperationKind::Query => schema.query,
        OperationKind::Mutation => schema.mutation.ok_or(ParseError::NotUnderstood)?,
        OperationKind::Subscription => return Err(ParseError::NotUnderstood),
    };
    let (shape, shapes) = Builder::new(schema, &document).build(root_type)?;
    let mut planner =
        Planner { text, schema, document: &document, root_type, edits: Vec::new(), defaults: HashMap::new() };
    let roots = planner.roots()?;
    let Planner { mut edits, defaults, .. } = planner;
    // Last, when all that could make it costly has been refused.
    if validate && !schema.validator.accepts(&tree) {
        return Err(ParseError::NotUnderstood);
    }
    let introspected = introspect::ask_names(&document, schema, root_type, &mut edits);
    let mut variables: Vec<(Box<str>, Carrier)> = Vec::new();
    for used in roots.iter().flat_map(|root| &root.variables) {
        if !variables.contains(used) {
            variables.push(used.clone());
        }
    }
    edits.extend(own_edits(&shapes));
    edits.sort_by_key(|edit| edit.span.start);
    edits.dedup();
    let moved = edits.iter().any(|edit| edit.text.len() != edit.span.len());
    let text = text.into();
    Ok(Plan {
        schema: Arc::clone(schema),
        text,
        document,
        roots,
        shape,
        shapes,
        edits,
        moved,
        variables,
        defaults,
        introspected,
    })
}

/// What the gateway selects for itself: the type's name, for itself and in place of fields that only it knows.
fn own_edits(shapes: &Shapes) -> impl Iterator<Item = Edit> {
    let asking = shapes.asking.values();
    let asking = asking.map(|(at, key)| Edit { span: *at..*at, text: format!("{key}:__typename ") });
    let own = shapes.own_fields.values().map(|(span, aliased)| Edit {
        span: span.clone(),
        text: if *aliased { "__typename" } else { "cluster:__typename" }.to_owned(),
    });
    asking.chain(own)
}

/// A root field and the conditions around it.
struct Occurrence<'a> {
    field: &'a Field,
    skipped_if: Vec<(Box<str>, bool)>,
}

struct Planner<'a> {
    text: &'a str,
    schema: &'a Arc<Schema>,
    document: &'a Document,
    root_type: TypeId,
    edits: Vec<Edit>,
    defaults: HashMap<(Box<str>, Carrier), Names>,
}

// === impl Planner ===

impl<'a> Planner<'a> {
    fn roots(&mut self) -> Result<Vec<Root>, ParseError> {
        let mut found = Vec::new();
        self.occurrences(&self.document.operation.set, &[], &mut HashSet::new(), &mut found)?;
        let mut keys: Vec<(&str, Vec<Occurrence<'a>>)> = Vec::new();
        for occurrence in found {
            let key = occurrence.field.key();
            match keys.iter_mut().find(|(seen, _)| *seen == key) {
                Some((_, all)) => all.push(occurrence),
                None => keys.push((key, vec![occurrence])),
            }
        }
        keys.into_iter().map(|(key, all)| self.root(key, &all)).collect()
    }

    /// The root fields in the order of the text, fragments opened; a fragment counts where it is first used.
    fn occurrences(
        &self,
        set: &'a SelectionSet,
        conditions: &[(Box<str>, bool)],
        opened: &mut HashSet<&'a str>,
        found: &mut Vec<Occurrence<'a>>,
    ) -> Result<(), ParseError> {
        for item in &set.items {
            let directives = match item {
                Selection::Field(field) => &field.directives,
                Selection::Spread(spread) => &spread.directives,
                Selection::Inline(inline) => &inline.directives,
            };
            let mut conditions = conditions.to_vec();
            for directive in directives {
                let leaves_out = match &*directive.name {
                    "skip" => true,
                    "include" => false,
                    _ => return Err(ParseError::NotUnderstood),
                };
                if let Some((_, Value::Variable(name))) = directive.arguments.first() {
                    conditions.push((name.clone(), leaves_out));
                }
            }
            match item {
                Selection::Field(field) => found.push(Occurrence { field, skipped_if: conditions }),
                Selection::Inline(inline) => {
                    self.on_root(inline.condition.as_deref())?;
                    self.occurrences(&inline.set, &conditions, opened, found)?;
                }
                Selection::Spread(spread) => {
                    let fragment = self.document.fragment(&spread.name).ok_or(ParseError::NotUnderstood)?;
                    self.on_root(Some(&fragment.condition))?;
                    if opened.insert(&fragment.name) {
                        self.occurrences(&fragment.set, &conditions, opened, found)?;
                    } else {
                        // A second use may keep what the first leaves out.
                        let again = self.keys_of(&fragment.set);
                        for earlier in found.iter_mut().filter(|o| again.contains(o.field.key())) {
                            earlier.skipped_if.clear();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn keys_of(&self, set: &'a SelectionSet) -> HashSet<&'a str> {
        let mut found = Vec::new();
        let _ = self.occurrences(set, &[], &mut HashSet::new(), &mut found);
        found.iter().map(|occurrence| occurrence.field.key()).collect()
    }

    fn on_root(&self, condition: Option<&str>) -> Result<(), ParseError> {
        let fits = condition.is_none_or(|name| self.schema.id(name) == Some(self.root_type));
        if fits { Ok(()) } else { Err(ParseError::NotUnderstood) }
    }

    fn root(&mut self, key: &str, all: &[Occurrence<'a>]) -> Result<Root, ParseError> {
        let first = all[0].field;
        let mut found = Found::default();
        let definition = self.schema.ty(self.root_type).field(&first.name);
        let meta = first.name.starts_with("__");
        if definition.is_none() && !meta {
            return Err(ParseError::NotUnderstood);
        }
        for Occurrence { field, .. } in all {
            // Sensu refuses two fields of one key that differ in name or arguments.
            if field.name != first.name {
                return Err(ParseError::NotUnderstood);
            }
            for (name, value) in &field.arguments {
                let argument = definition.and_then(|definition| definition.argument(name));
                if argument.is_none() && !meta {
                    return Err(ParseError::NotUnderstood);
                }
                if let Some(carrier) = argument.and_then(|argument| argument.carrier) {
                    literal::literal(self.text, value, carrier, self.schema, &mut found);
                }
            }
        }
        self.defaults(&mut found);
        let Found { names, edits, variables, texts } = found;
        self.edits.extend(edits);
        Ok(Root {
            key: key.into(),
            fields: all.iter().map(|occurrence| occurrence.field.span.start).collect(),
            kind: self.kind(all, &variables, &names),
            names,
            variables,
            literal: texts.into_iter().next(),
            non_null: definition.is_some_and(|definition| definition.non_null),
            empty: if all.len() == 1 { self.empty(first) } else { None },
            skipped_if: if let [only] = all { only.skipped_if.clone() } else { Vec::new() },
        })
    }

    /// Takes clusters out of the default values of carrying variables.
    fn defaults(&mut self, found: &mut Found) {
        for (name, carrier) in &found.variables {
            let definition = self.document.operation.variables.iter().find(|variable| variable.name == *name);
            if let Some(default) = definition.and_then(|definition| definition.default.as_ref()) {
                let mut inner = Found::default();
                literal::literal(self.text, default, *carrier, self.schema, &mut inner);
                self.edits.extend(inner.edits);
                self.defaults.insert((name.clone(), *carrier), inner.names);
            }
        }
    }

    fn kind(&self, all: &[Occurrence<'a>], variables: &[(Box<str>, Carrier)], names: &Names) -> RootKind {
        let first = all[0].field;
        match &*first.name {
            "__typename" => return RootKind::Anywhere,
            "__schema" | "__type" => return RootKind::Introspection,
            _ => {}
        }
        let namespace = self.schema.id("Namespace");
        let Some(definition) = self.schema.ty(self.root_type).field(&first.name) else {
            return RootKind::Plain;
        };
        let sets: Vec<&SelectionSet> = all.iter().filter_map(|o| o.field.set.as_ref()).collect();
        let carried = !variables.is_empty() || names.cluster.is_some() || names.malformed;
        if Some(definition.base) == namespace && carried && !definition.list && all.len() == 1 {
            return match self.simple(definition.base, &sets) {
                Some(simple) if self.is_route(first, &simple) => RootKind::Route(with_id(simple)),
                Some(simple) => RootKind::Named(simple),
                None => RootKind::Plain,
            };
        }
        if carried || self.document.operation.kind == OperationKind::Mutation {
            return RootKind::Plain;
        }
        match self.viewer(definition.base, &sets) {
            Some(viewer) if !viewer.lists.is_empty() => RootKind::Viewer(viewer),
            _ => RootKind::Plain,
        }
    }

    /// Whether this is how Sensu's web UI asks for the route of a page: by the operation's name and all that it selects.
    fn is_route(&self, field: &Field, simple: &NamespaceFields) -> bool {
        let keys = simple.iter().all(|(key, field)| match field {
            NamespaceField::Name => &**key == "name",
            NamespaceField::Typename => &**key == "__typename",
            NamespaceField::Id | NamespaceField::Cluster => false,
        });
        keys && field.alias.is_none() && self.document.operation.name.as_deref() == Some(ROUTE)
    }

    /// What Sensu answers to a root field about a namespace that does not exist, if that is not null: suggestions are an
    /// empty list, and its web UI takes null for a fault.
    fn empty(&self, field: &Field) -> Option<Box<str>> {
        if &*field.name != "suggest" || self.has_directives() {
            return None;
        }
        let ty = self.schema.ty(self.schema.ty(self.root_type).field(&field.name)?.base);
        let mut members = Vec::new();
        for (key, fields) in self.document.fields(&[field.set.as_ref()?]) {
            members.push((
                key,
                match &*fields[0].name {
                    "__typename" => Json::from(&*ty.name).to_string(),
                    name if ty.field(name)?.list => "[]".to_owned(),
                    _ => return None,
                },
            ));
        }
        let mut empty = String::new();
        write_object(&mut empty, members.iter().map(|(key, value)| (*key, value.as_str())));
        Some(empty.into())
    }

    /// The selection on a type that holds lists of namespaces.
    fn viewer(&self, ty: TypeId, sets: &[&'a SelectionSet]) -> Option<Viewer> {
        let namespace = self.schema.id("Namespace")?;
        let mut viewer =
            Viewer { ty: self.schema.ty(ty).name.clone(), sure: !self.has_directives(), ..Viewer::default() };
        for (key, fields) in self.document.fields(sets) {
            if &*fields[0].name == "__typename" {
                viewer.typenames.push(key.into());
                continue;
            }
            let definition = self.schema.ty(ty).field(&fields[0].name)?;
            if definition.base == namespace && definition.list {
                let sets: Vec<&SelectionSet> = fields.iter().filter_map(|field| field.set.as_ref()).collect();
                viewer.lists.push((key.into(), self.simple(namespace, &sets)));
            } else {
                viewer.others.push(key.into());
            }
        }
        Some(viewer)
    }

    /// The keys of a namespace, if each follows from its name.
    fn simple(&self, namespace: TypeId, sets: &[&'a SelectionSet]) -> Option<NamespaceFields> {
        if self.has_directives() {
            return None;
        }
        let derived = |(key, fields): (&str, Vec<&Field>)| {
            let name = &*fields[0].name;
            let field = match (name, self.schema.ty(namespace).field(name).map(|field| field.role)) {
                ("__typename", _) => NamespaceField::Typename,
                (_, Some(Role::Namespace)) => NamespaceField::Name,
                (_, Some(Role::Id)) => NamespaceField::Id,
                (_, Some(Role::Cluster)) => NamespaceField::Cluster,
                _ => return None,
            };
            Some((key.into(), field))
        };
        let mut simple: NamespaceFields =
            self.document.fields(sets).into_iter().map(derived).collect::<Option<_>>()?;
        // Sensu's order.
        simple.sort_by(|(one, _), (other, _)| one.cmp(other));
        Some(simple)
    }

    /// Whether any directive may leave something out.
    fn has_directives(&self) -> bool {
        self.text.contains('@') && (self.text.contains("skip") || self.text.contains("include"))
    }
}

// === impl ParseError ===

impl From<ShapeError> for ParseError {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::Unknown => Self::NotUnderstood,
            ShapeError::Limit(limit) => Self::Limit(limit),
        }
    }
}

// === impl Plan ===

impl Plan {
    pub(super) fn is_mutation(&self) -> bool {
        self.document.operation.kind == OperationKind::Mutation
    }

    /// Whether even the local cluster's answers are edited.
    pub(super) fn edits_local(&self) -> bool {
        !self.shapes.asking.is_empty() || !self.shapes.own_fields.is_empty()
    }

    /// Memory that it takes, roughly, in bytes.
    pub(super) fn weight(&self) -> usize {
        let shapes: usize = self.shapes.all.iter().map(|shape| 192 + 96 * shape.keys.len()).sum();
        PLAN_BYTES + TREE * self.text.len() + shapes
    }
}

/// With the key `id`, in its place.
fn with_id(mut simple: NamespaceFields) -> NamespaceFields {
    let at = simple.partition_point(|(key, _)| &**key < "id");
    simple.insert(at, ("id".into(), NamespaceField::Id));
    simple
}

/// Spans of text to leave out.
pub(super) type Blanks = Vec<Span>;

/// The operation with which Sensu's web UI asks for the route of a page. It asks for no id, and the query of the page
/// itself does: whichever answer comes second is not stored in the UI's cache if it lacks the id that the first had, and
/// the page ends in an error. A single cluster answers the route first by luck; with several clusters either may be
/// first. With the id in both, the order does not matter, and an extra field does no harm.
const ROUTE: &str = "NamespaceRouteQuery";

const PLAN_BYTES: usize = 1024;

/// Bytes of tree for each byte of text: a field of five letters takes some 200.
const TREE: usize = 48;
