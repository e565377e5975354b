/// What kind of object a body holds, that is, where its namespace strings stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A namespaced resource: `metadata.namespace`, `entity.metadata.namespace`, `check.metadata.namespace`,
    /// and the same three below `spec` (wrapped resources). No other path.
    Resource,
    /// A namespace object: `name`, and for wrapped ones `spec.name` and `metadata.name`.
    Namespace,
}
