//! Requests that must reach no cluster in any form: they crash a Sensu 6.12 backend, or have it disclose what it should not.

use apollo_parser::Lexer;

use super::{
    cycle::Spreads,
    error::GraphQlError,
    id, literal,
    request::{self, Incoming, Operation},
};

/// Inspects the body of a request that is forwarded byte for byte. Needs no schema: any text is judged by its form alone.
///
/// # Errors
/// For a document with a fragment that contains itself, for a string in a document or its variables that leads out of a
/// namespace (such as `../b/c`), and for a body that cannot be read here but might be read by Sensu.
pub fn inspect(body: &[u8]) -> Result<(), GraphQlError> {
    let operations = match request::read(body) {
        Incoming::One(operation) => vec![operation],
        Incoming::Many(operations) => operations,
        Incoming::Other if is_odd(body) => return Err(GraphQlError::Unreadable),
        Incoming::Other => return Ok(()),
    };
    if operations.iter().any(has_cycle) {
        return Err(GraphQlError::Cycle);
    }
    let traverses = |operation: &Operation<'_>| {
        literal::any_string(&operation.query, operation.variables_raw, id::has_parent_step)
    };
    if operations.iter().any(traverses) { Err(GraphQlError::PathTraversal) } else { Ok(()) }
}

/// Whether a fragment of the operation's document contains itself.
pub(super) fn has_cycle(operation: &Operation<'_>) -> bool {
    let mut spreads = Spreads::default();
    Lexer::new(&operation.query).flatten().for_each(|token| spreads.see(&token));
    spreads.have_a_cycle()
}

/// Whether a body that is not read here might still be read by Sensu, whose decoder is more lenient and stops after the
/// first value, with names or fragments in it that were not inspected.
pub(super) fn is_odd(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"..").is_some() || memchr::memmem::find(body, b"\\u").is_some()
}
