use crate::types::Shape;

/// The path from an item to an object in which, or below which, namespace strings may stand: `spec`? then `entity` or
/// `check`? then `metadata`?.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonPath {
    spec: bool,
    part: bool,
    metadata: bool,
}

// === impl JsonPath ===

impl JsonPath {
    /// The path of the object under `key`, if namespace strings may stand in it.
    pub(super) fn child(self, shape: Shape, key: &[u8]) -> Option<Self> {
        if self.metadata || self.part && key != b"metadata" {
            return None;
        }
        match (shape, key) {
            (Shape::Resource, b"metadata") => Some(Self { metadata: true, ..self }),
            (Shape::Resource, b"entity" | b"check") => Some(Self { part: true, ..self }),
            (Shape::Namespace, b"metadata") if !self.spec => Some(Self { metadata: true, ..self }),
            (_, b"spec") if !self.spec => Some(Self { spec: true, ..self }),
            _ => None,
        }
    }

    /// One key up; the item itself for the item.
    pub(super) fn parent(self) -> Self {
        match self {
            Self { metadata: true, .. } => Self { metadata: false, ..self },
            Self { part: true, .. } => Self { part: false, ..self },
            _ => Self::default(),
        }
    }

    /// Whether this is the metadata of the item itself.
    pub(super) fn is_metadata(self) -> bool {
        self.metadata && !self.part
    }

    /// The key of the namespace string of the object itself.
    #[inline]
    pub(super) fn key(self, shape: Shape) -> Option<&'static [u8]> {
        match shape {
            Shape::Resource => self.metadata.then_some(b"namespace"),
            Shape::Namespace => Some(b"name"),
        }
    }
}
