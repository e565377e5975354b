//! A slow reference: it reads a value recursively, byte by byte, and knows the path at each string.

use super::{Brackets, Task};
use crate::types::Shape;

/// What a rewriter must make of a valid body.
pub(super) fn expected(task: Task, body: &str) -> String {
    let mut model = Model { task, text: body.as_bytes(), at: 0, out: String::new(), path: Vec::new() };
    model.space(task.brackets == Brackets::Keep);
    if model.peek() == b'[' {
        model.list();
    } else {
        model.value();
    }
    model.space(task.brackets == Brackets::Keep);
    model.out
}

/// The same edit on a parsed value.
pub(super) fn edit(task: Task, value: &mut serde_json::Value) {
    let Some(items) = value.as_array_mut() else {
        edit_item(task, value);
        return;
    };
    for item in items {
        edit_item(task, item);
        if let (true, Some(members)) = (task.label, item.as_object_mut()) {
            // Ours comes first and so loses against one that is already there.
            members.entry("cluster").or_insert_with(|| "alpha".into());
        }
    }
}

fn edit_item(task: Task, item: &mut serde_json::Value) {
    for pointer in pointers(task.shape) {
        if let (true, Some(serde_json::Value::String(text))) = (task.qualify, item.pointer_mut(pointer)) {
            text.push_str("@alpha");
        }
    }
}

fn pointers(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Resource => &[
            "/metadata/namespace",
            "/entity/metadata/namespace",
            "/check/metadata/namespace",
            "/spec/metadata/namespace",
            "/spec/entity/metadata/namespace",
            "/spec/check/metadata/namespace",
        ],
        Shape::Namespace => &["/name", "/metadata/name", "/spec/name"],
    }
}

struct Model<'a> {
    task: Task,
    text: &'a [u8],
    at: usize,
    out: String,
    path: Vec<String>,
}

impl Model<'_> {
    fn list(&mut self) {
        let keep = self.task.brackets == Brackets::Keep;
        self.skip(keep);
        self.space(keep);
        while self.peek() != b']' {
            if self.peek() == b',' {
                self.skip(true);
                self.space(keep);
            }
            if self.peek() == b'{' && self.task.label {
                self.skip(true);
                self.out.push_str("\"cluster\":\"alpha\"");
                let rest = self.text[self.at..].trim_ascii_start();
                if rest[0] != b'}' {
                    self.out.push(',');
                }
                self.members();
            } else if self.peek() == b'[' {
                self.path.push("?".into());
                self.value();
                self.path.pop();
            } else {
                self.value();
            }
            self.space(keep);
        }
        self.skip(keep);
    }

    fn value(&mut self) {
        match self.peek() {
            b'{' => {
                self.skip(true);
                self.members();
            }
            b'[' => {
                self.skip(true);
                self.space(true);
                self.path.push("[]".into());
                while self.peek() != b']' {
                    self.value();
                    self.space(true);
                    if self.peek() == b',' {
                        self.skip(true);
                        self.space(true);
                    }
                }
                self.path.pop();
                self.skip(true);
            }
            b'"' => {
                self.string();
                let pointer = format!("/{}", self.path.join("/"));
                if self.task.qualify && pointers(self.task.shape).contains(&pointer.as_str()) {
                    self.out.pop();
                    self.out.push_str("@alpha\"");
                }
            }
            _ => {
                while self.at < self.text.len()
                    && !matches!(self.peek(), b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                {
                    self.skip(true);
                }
            }
        }
    }

    /// Members after `{`, to the end of the object.
    fn members(&mut self) {
        self.space(true);
        while self.peek() != b'}' {
            let key = self.string();
            self.path.push(key);
            self.space(true);
            self.skip(true);
            self.space(true);
            self.value();
            self.path.pop();
            self.space(true);
            if self.peek() == b',' {
                self.skip(true);
                self.space(true);
            }
        }
        self.skip(true);
    }

    /// The raw text of a string.
    fn string(&mut self) -> String {
        let start = self.at + 1;
        self.skip(true);
        while self.peek() != b'"' {
            if self.peek() == b'\\' {
                self.skip(true);
            }
            self.skip(true);
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap().to_owned();
        self.skip(true);
        text
    }

    fn space(&mut self, keep: bool) {
        while self.at < self.text.len() && matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.skip(keep);
        }
    }

    fn peek(&self) -> u8 {
        self.text[self.at]
    }

    /// Passes one character.
    fn skip(&mut self, keep: bool) {
        let rest = std::str::from_utf8(&self.text[self.at..]).unwrap();
        let c = rest.chars().next().unwrap();
        self.at += c.len_utf8();
        if keep {
            self.out.push(c);
        }
    }
}
