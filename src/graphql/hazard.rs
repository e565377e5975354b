//! Requests that must reach no cluster in any form: they crash a Sensu 6.12 backend, or have it disclose what it should not.

use apollo_parser::Lexer;

use super::{
    cycle::Spreads,
    error::GraphQlError,
    id, literal,
    request::{self, Incoming, Operation},
};

/// Looks at the body of a request that is forwarded byte for byte. Needs no schema, and judges any text by its form alone.
///
/// # Errors
/// For a document with a fragment that contains itself, for a string in a document or its variables that climbs out of a
/// namespace (such as `../b/c`), and for what cannot be read but might be by Sensu.
pub fn examine(body: &[u8]) -> Result<(), GraphQlError> {
    let operations = match request::read(body) {
        Incoming::One(operation) => vec![operation],
        Incoming::Many(operations) => operations,
        Incoming::Other if is_odd(body) => return Err(GraphQlError::Unreadable),
        Incoming::Other => return Ok(()),
    };
    if operations.iter().any(has_cycle) {
        return Err(GraphQlError::Cycle);
    }
    let climbs = |operation: &Operation<'_>| {
        literal::any_string(&operation.query, operation.variables_raw, id::climbs_up)
    };
    if operations.iter().any(climbs) { Err(GraphQlError::PathTraversal) } else { Ok(()) }
}

/// Whether a fragment of the operation's document contains itself.
pub(super) fn has_cycle(operation: &Operation<'_>) -> bool {
    let mut spreads = Spreads::default();
    Lexer::new(&operation.query).flatten().for_each(|token| spreads.see(&token));
    spreads.have_a_cycle()
}

/// Whether a body that is not read here might still be read by Sensu, which takes the first value and forgives more, with
/// names or fragments in it that were not looked at.
pub(super) fn is_odd(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"..").is_some() || memchr::memmem::find(body, b"\\u").is_some()
}
