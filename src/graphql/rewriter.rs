//! A cluster's answer as it streams through: namespaces and ids qualified, the gateway's own keys taken out, errors
//! labelled. What is found where follows the [shape](super::shape) of the selection; all other bytes stay as they are.
//!
//! ```text
//! {"auth":true,"data":{…},"errors":[{"message":…}]}
//!   └ Envelope      │         └ Errors ─ Error      + "extensions":{"cluster":…}
//!                   └ Shape ─ … ─ role at a string: insert, replace, or take as the type's name
//! containers without a shape are skipped: only their brackets are followed
//! ```

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::{
    id,
    plan::Plan,
    scan::{ChunkWriter, is_space, quoted, string_end},
    schema::Role,
    shape::{Action, ShapeId},
};
use crate::{types::ClusterName, wire::Transform};

/// Edits one answer to one operation.
#[derive(Debug)]
pub(super) struct Rewriter {
    plan: Arc<Plan>,
    cluster: ClusterName,
    /// `@name` for a remote cluster.
    suffix: Option<Vec<u8>>,
    state: State,
    frames: Vec<Frame>,
    /// Brackets open in a container that is skipped.
    skipped: Vec<u8>,
    /// A backslash was the last byte of a chunk.
    escape: bool,
    /// Nothing is emitted: a member that is taken out.
    mute: bool,
    /// Where in the chunk the quote of the current key or string with a role stands.
    quote: usize,
    /// That key or string began in an earlier chunk; what has come of it, without the quote.
    split: Option<Vec<u8>>,
    failed: Option<AnswerError>,
}

/// Why an answer could not be read: the cluster, or something before it, answered badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// It ends inside a value.
    #[error("the answer ends inside a JSON value")]
    Incomplete,
    /// It is not a JSON object, or not well formed.
    #[error("the answer is not a JSON object")]
    Malformed,
    /// It nests deeper than any selection could.
    #[error("the answer nests too deeply")]
    TooDeep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a value => (`AfterValue` | `KeyOrEnd` | `ItemOrEnd` | `Skip` | a string | `Scalar`)
    Value,
    /// After `[`
    ItemOrEnd,
    /// After `{`
    KeyOrEnd,
    /// After a comma in an object
    Key,
    /// In a key
    KeyText,
    /// After a key
    Colon,
    /// After a value => (`Key` | `Value` | the container's end)
    AfterValue,
    /// In a number or literal
    Scalar,
    /// In a string of no interest
    Text,
    /// In a string with a role
    RoleText,
    /// In a container of no interest
    Skip,
    /// In a string in such a container
    SkipText,
    /// After the envelope
    End,
}

/// An open container.
#[derive(Debug)]
struct Frame {
    object: bool,
    node: Node,
    /// What the current member, or each item, is.
    action: Action,
    /// What the current string is, when it is more than its role.
    special: Special,
    /// The discriminator's value.
    ty: Option<Vec<u8>>,
    commas: Commas,
}

/// How commas are emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commas {
    /// As they come.
    AsTheyCome,
    /// With the key after them, because a member may be taken out; nothing has been emitted yet.
    First,
    /// The same, after a member.
    Later,
    /// The same, and one waits.
    Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Envelope,
    Shape(ShapeId),
    /// An array whose items have the frame's action.
    Items,
    Errors,
    /// An error; whether it has had extensions.
    Error(bool),
    /// An object of which only the end matters.
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Special {
    #[default]
    None,
    /// The type's name; whether it is taken out.
    Discriminator(bool),
    Errors,
    Extensions,
    Locations,
}

/// How a key or string goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emit {
    AsItIs,
    Nothing,
    /// With the cluster behind so many bytes.
    Suffix(usize),
    /// As the cluster's name.
    Cluster,
}

// === impl Rewriter ===

impl Transform for Rewriter {
    type Error = AnswerError;

    fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), AnswerError> {
        Rewriter::push(self, chunk, out)
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), AnswerError> {
        Rewriter::finish(self)
    }
}

impl Rewriter {
    /// For an answer of `cluster` to a document of this plan.
    pub(super) fn new(plan: Arc<Plan>, cluster: &ClusterName) -> Self {
        Self {
            plan,
            cluster: cluster.clone(),
            suffix: (!cluster.is_local()).then(|| format!("@{cluster}").into_bytes()),
            state: State::Value,
            frames: Vec::new(),
            skipped: Vec::new(),
            escape: false,
            mute: false,
            quote: 0,
            split: None,
            failed: None,
        }
    }

    /// Reads a chunk and appends what becomes of it to `out`.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), AnswerError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        out.reserve(chunk.len() + chunk.len() / 16);
        let mut writer = ChunkWriter { chunk, out, done: 0 };
        if let Err(error) = self.scan(&mut writer) {
            self.failed = Some(error);
            return Err(error);
        }
        if !matches!(self.state, State::KeyText | State::RoleText) {
            writer.flush(chunk.len(), self.mute);
        } else if self.split.is_none() {
            writer.flush(self.quote, self.mute);
            self.split = Some(chunk[self.quote + 1..].to_vec());
        }
        Ok(())
    }

    /// Ends the answer.
    pub(super) fn finish(&self) -> Result<(), AnswerError> {
        match (self.failed, self.state) {
            (Some(error), _) => Err(error),
            (None, State::End) => Ok(()),
            (None, _) => Err(AnswerError::Incomplete),
        }
    }

    fn scan(&mut self, writer: &mut ChunkWriter<'_>) -> Result<(), AnswerError> {
        let chunk = writer.chunk;
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Skip => self.skip(writer, at)?,
                State::Text | State::SkipText => self.text(chunk, at),
                State::KeyText | State::RoleText => self.token(writer, at)?,
                State::Scalar => self.scalar(chunk, at),
                State::Key | State::KeyOrEnd if chunk[at] == b'"' => self.members(writer, at)?,
                _ if is_space(chunk[at]) => at + 1,
                _ => self.step(writer, at)?,
            };
        }
        Ok(())
    }

    /// Members from the quote of a key on, as long as no space stands between the tokens, as Go writes them, and each ends in
    /// this chunk. It spares the choice of the state for nearly every token of an answer.
    fn members(&mut self, writer: &mut ChunkWriter<'_>, mut at: usize) -> Result<usize, AnswerError> {
        let chunk = writer.chunk;
        loop {
            self.state = State::KeyText;
            self.quote = at;
            at = self.token(writer, at + 1)?;
            if chunk.get(at) != Some(&b':') {
                return Ok(at);
            }
            self.state = State::Value;
            at += 1;
            if chunk.get(at).is_none_or(|byte| is_space(*byte)) {
                return Ok(at);
            }
            at = self.step(writer, at)?;
            at = match self.state {
                State::Text => self.text(chunk, at),
                State::RoleText => self.token(writer, at)?,
                State::Scalar => self.scalar(chunk, at),
                _ => return Ok(at),
            };
            if self.state != State::AfterValue || chunk.get(at) != Some(&b',') {
                return Ok(at);
            }
            self.comma(writer, at);
            at += 1;
            if chunk.get(at) != Some(&b'"') {
                return Ok(at);
            }
        }
    }

    /// One structural byte.
    fn step(&mut self, writer: &mut ChunkWriter<'_>, at: usize) -> Result<usize, AnswerError> {
        let byte = writer.chunk[at];
        match (self.state, byte) {
            (State::Value | State::ItemOrEnd, b'{' | b'[') => self.open(writer, at, byte)?,
            (State::Value | State::ItemOrEnd, b'"') if !self.frames.is_empty() => self.string(at),
            (State::Value | State::ItemOrEnd, b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
                if !self.frames.is_empty() =>
            {
                if self.mute {
                    return Err(AnswerError::Malformed);
                }
                self.state = State::Scalar;
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => self.comma(writer, at),
            (State::AfterValue | State::KeyOrEnd, b'}') if self.in_object() => self.close(writer, at),
            (State::AfterValue | State::ItemOrEnd, b']') if !self.in_object() && !self.frames.is_empty() => {
                self.close(writer, at);
            }
            _ => return Err(AnswerError::Malformed),
        }
        Ok(at + 1)
    }

    fn in_object(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.object)
    }

    fn comma(&mut self, writer: &mut ChunkWriter<'_>, at: usize) {
        let Some(frame) = self.frames.last_mut() else { return };
        self.state = if frame.object { State::Key } else { State::Value };
        if frame.commas != Commas::AsTheyCome {
            if frame.commas == Commas::Later {
                frame.commas = Commas::Waiting;
            }
            writer.flush(at, self.mute);
            writer.done = at + 1;
        }
    }

    /// A `{` or `[` that is a value.
    fn open(&mut self, writer: &mut ChunkWriter<'_>, at: usize, byte: u8) -> Result<(), AnswerError> {
        let object = byte == b'{';
        let Some(parent) = self.frames.last() else {
            if !object {
                return Err(AnswerError::Malformed);
            }
            self.enter(true, Node::Envelope, Action::default());
            return Ok(());
        };
        if self.frames.len() >= MAX_DEPTH {
            return Err(AnswerError::TooDeep);
        }
        let action = parent.action;
        let node = match (parent.node, parent.special, object) {
            (_, Special::Discriminator(true), _) => return Err(AnswerError::Malformed),
            (Node::Envelope, Special::Errors, false) if self.suffix.is_some() || self.plan.moved => {
                Some(Node::Errors)
            }
            (Node::Errors, _, true) => Some(Node::Error(false)),
            (Node::Error(_), Special::Extensions, true) if self.suffix.is_some() => Some(Node::Plain),
            (Node::Error(_), Special::Locations, false) => {
                writer.flush(at, self.mute);
                writer.out.put_slice(b"[]");
                self.mute = true;
                None
            }
            (_, _, true) => action.child.map(Node::Shape),
            (_, _, false) if action != Action::default() => Some(Node::Items),
            _ => None,
        };
        match node {
            None => {
                self.skipped.push(byte);
                self.state = State::Skip;
            }
            Some(Node::Plain) => {
                writer.flush(at + 1, self.mute);
                self.enter(true, Node::Plain, Action::default());
                let label = format!("\"cluster\":\"{}\"", self.cluster);
                writer.out.put_slice(label.as_bytes());
                if let Some(frame) = self.frames.last_mut() {
                    frame.commas = Commas::Waiting;
                }
            }
            Some(node) => {
                let items = if object { Action::default() } else { action };
                self.enter(object, node, items);
            }
        }
        Ok(())
    }

    fn enter(&mut self, object: bool, node: Node, action: Action) {
        let private =
            |id: ShapeId| self.plan.shapes.all[id].discriminator.as_ref().is_some_and(|d| d.private);
        let lazy = matches!(node, Node::Shape(id) if private(id));
        let commas = if lazy { Commas::First } else { Commas::AsTheyCome };
        self.frames.push(Frame { object, node, action, special: Special::None, ty: None, commas });
        self.state = if object { State::KeyOrEnd } else { State::ItemOrEnd };
    }

    fn close(&mut self, writer: &mut ChunkWriter<'_>, at: usize) {
        if let Some(Frame { node: Node::Error(false), .. }) = self.frames.pop()
            && self.suffix.is_some()
        {
            writer.flush(at, self.mute);
            let comma = if self.state == State::KeyOrEnd { "" } else { "," };
            let label = format!("{comma}\"extensions\":{{\"cluster\":\"{}\"}}", self.cluster);
            writer.out.put_slice(label.as_bytes());
        }
        self.state = if self.frames.is_empty() { State::End } else { State::AfterValue };
    }

    /// The opening quote of a string that is a value.
    fn string(&mut self, at: usize) {
        let interesting = self.frames.last().is_some_and(|frame| {
            let role = match frame.action.role {
                Role::Plain | Role::Wrapped => false,
                Role::Cluster => true,
                Role::Namespace | Role::Id => self.suffix.is_some(),
            };
            role || matches!(frame.special, Special::Discriminator(_))
        });
        if interesting {
            self.state = State::RoleText;
            self.quote = at;
        } else {
            self.state = State::Text;
        }
    }

    /// In a string of no interest.
    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        let (end, closed) = string_end(chunk, at, &mut self.escape);
        if closed {
            self.state = if self.state == State::SkipText { State::Skip } else { State::AfterValue };
        }
        end
    }

    fn scalar(&mut self, chunk: &[u8], at: usize) -> usize {
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']') || is_space(*b);
        match chunk[at..].iter().position(ends) {
            Some(length) => {
                self.state = State::AfterValue;
                at + length
            }
            None => chunk.len(),
        }
    }

    /// In a container of no interest.
    fn skip(&mut self, writer: &mut ChunkWriter<'_>, mut at: usize) -> Result<usize, AnswerError> {
        let chunk = writer.chunk;
        while let Some(byte) = chunk.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let (end, closed) = string_end(chunk, at, &mut self.escape);
                    at = end;
                    if !closed {
                        self.state = State::SkipText;
                        return Ok(at);
                    }
                }
                b'{' | b'[' => {
                    if self.skipped.len() >= MAX_DEPTH {
                        return Err(AnswerError::TooDeep);
                    }
                    self.skipped.push(*byte);
                }
                b'}' | b']' => {
                    // `{` and `}`, as `[` and `]`, differ by two.
                    if self.skipped.pop().is_none_or(|open| open + 2 != *byte) {
                        return Err(AnswerError::Malformed);
                    }
                    if self.skipped.is_empty() {
                        if self.mute {
                            writer.flush(at, true);
                            self.mute = false;
                        }
                        self.state = State::AfterValue;
                        return Ok(at);
                    }
                }
                _ => {}
            }
        }
        Ok(at)
    }

    /// A key, or a string with a role; it may go on in the next chunk.
    fn token(&mut self, writer: &mut ChunkWriter<'_>, at: usize) -> Result<usize, AnswerError> {
        let chunk = writer.chunk;
        let (end, closed) = string_end(chunk, at, &mut self.escape);
        let stop = if closed { end - 1 } else { end };
        if let Some(split) = &mut self.split {
            split.extend_from_slice(&chunk[at..stop]);
            writer.done = end;
        }
        if self.split.as_ref().map_or(stop - at, Vec::len) > MAX_TOKEN {
            return Err(AnswerError::Malformed);
        }
        if !closed {
            return Ok(end);
        }
        if let Some(text) = self.split.take() {
            // Nothing before it is left in this chunk.
            self.quote = writer.done;
            let emit = self.read(writer, &text);
            self.emit_split(writer, &text, emit);
        } else {
            let emit = self.read(writer, &chunk[at..stop]);
            self.emit(writer, at, end, emit);
        }
        Ok(end)
    }

    /// A whole key or string with a role.
    fn read(&mut self, writer: &mut ChunkWriter<'_>, text: &[u8]) -> Emit {
        if self.state == State::KeyText { self.key(writer, text) } else { self.value(text) }
    }

    /// Emits a token of this chunk, whose text is from `at` to before the quote that ends at `end`.
    fn emit(&self, writer: &mut ChunkWriter<'_>, at: usize, end: usize, emit: Emit) {
        match emit {
            // It goes out with what stands around it.
            Emit::AsItIs => {}
            Emit::Nothing => writer.done = end,
            Emit::Suffix(offset) => {
                writer.flush(at + offset, false);
                writer.out.put_slice(self.suffix.as_deref().unwrap_or_default());
            }
            Emit::Cluster => {
                writer.flush(at, false);
                writer.out.put_slice(self.cluster.as_str().as_bytes());
                writer.done = end - 1;
            }
        }
    }

    /// Emits a token that began in an earlier chunk, and of which nothing has gone out.
    fn emit_split(&self, writer: &mut ChunkWriter<'_>, text: &[u8], emit: Emit) {
        match emit {
            Emit::AsItIs => quoted(writer.out, text, b"", 0),
            Emit::Nothing => {}
            Emit::Suffix(offset) => {
                quoted(writer.out, text, self.suffix.as_deref().unwrap_or_default(), offset);
            }
            Emit::Cluster => quoted(writer.out, self.cluster.as_str().as_bytes(), b"", 0),
        }
    }

    /// A whole key.
    fn key(&mut self, writer: &mut ChunkWriter<'_>, key: &[u8]) -> Emit {
        self.state = State::Colon;
        let plan = &self.plan;
        let Some(frame) = self.frames.last_mut() else { return Emit::AsItIs };
        frame.special = Special::None;
        frame.action = Action::default();
        match frame.node {
            Node::Envelope => match key {
                b"data" => frame.action = Action { role: Role::Plain, child: plan.shape },
                b"errors" => frame.special = Special::Errors,
                _ => {}
            },
            Node::Shape(id) => {
                let shape = &plan.shapes.all[id];
                match &shape.discriminator {
                    Some(asked) if asked.key.as_bytes() == key => {
                        frame.special = Special::Discriminator(asked.private);
                    }
                    _ => frame.action = shape.action(key, frame.ty.as_deref()),
                }
            }
            Node::Error(_) if key == b"extensions" => {
                frame.node = Node::Error(true);
                frame.special = Special::Extensions;
            }
            Node::Error(_) if key == b"locations" && plan.moved => frame.special = Special::Locations,
            Node::Error(_) | Node::Items | Node::Errors | Node::Plain => {}
        }
        if frame.special == Special::Discriminator(true) {
            writer.flush(self.quote, self.mute);
            self.mute = true;
            return Emit::Nothing;
        }
        if frame.commas == Commas::Waiting {
            writer.flush(self.quote, self.mute);
            writer.out.put_u8(b',');
        }
        if frame.commas != Commas::AsTheyCome {
            frame.commas = Commas::Later;
        }
        Emit::AsItIs
    }

    /// A complete string with a role.
    fn value(&mut self, text: &[u8]) -> Emit {
        self.state = State::AfterValue;
        let Some(frame) = self.frames.last_mut() else { return Emit::AsItIs };
        if let Special::Discriminator(private) = frame.special {
            frame.ty = Some(text.to_vec());
            if !private {
                return Emit::AsItIs;
            }
            self.mute = false;
            return Emit::Nothing;
        }
        match frame.action.role {
            Role::Cluster => Emit::Cluster,
            Role::Namespace if !text.is_empty() => Emit::Suffix(text.len()),
            Role::Id => id::insertion(text).map_or(Emit::AsItIs, Emit::Suffix),
            Role::Namespace | Role::Plain | Role::Wrapped => Emit::AsItIs,
        }
    }
}

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 512;

/// Longest key or id that is buffered, in bytes.
const MAX_TOKEN: usize = 64 * 1024;
