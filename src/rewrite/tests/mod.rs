use bytes::BytesMut;

use super::{Brackets, Rewriter, ScanError};
use crate::types::{ClusterName, Shape};

mod examples;
mod model;
mod properties;
mod unqualify;
mod validate;

/// What a rewriter has to do.
#[derive(Clone, Copy, Debug)]
struct Task {
    shape: Shape,
    label: bool,
    qualify: bool,
    brackets: Brackets,
}

const MERGE: Task = Task { shape: Shape::Resource, label: true, qualify: true, brackets: Brackets::Strip };
const KEEP: Task = Task { brackets: Brackets::Keep, ..MERGE };

impl Task {
    /// Runs the body through in chunks of `step` bytes.
    fn run(self, body: &str, step: usize) -> Result<String, ScanError> {
        let name = alpha();
        let label = self.label.then_some(&name);
        let qualify = self.qualify.then_some(&name);
        let mut rewriter = Rewriter::new(self.shape, label, qualify, self.brackets);
        let mut out = BytesMut::new();
        for chunk in body.as_bytes().chunks(step) {
            rewriter.push(chunk, &mut out)?;
        }
        rewriter.finish(&mut out)?;
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    /// The same for several chunk sizes, which must not matter.
    fn check(self, body: &str) -> Result<String, ScanError> {
        let whole = self.run(body, body.len().max(1));
        for step in [1, 2, 3, 7, 63, 64, 65] {
            assert_eq!(self.run(body, step), whole, "{step}: {body}");
        }
        whole
    }
}

fn alpha() -> ClusterName {
    "alpha".parse().unwrap()
}
