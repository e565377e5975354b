//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use super::resource::Checked;
use crate::types::Kind;

/// Checks that a body, or a stored value, is refused with the field that is wrong, or is stored so that it reads the
/// same.
///
/// # Panics
///
/// When a property does not hold.
pub fn resource(data: &[u8]) {
    for kind in Kind::ALL {
        match Checked::parse(kind, None, data) {
            Ok(read) => {
                let stored = read.to_json();
                let name = read.resource.metadata.name.as_str();
                assert_eq!(Checked::parse(kind, Some(name), &stored).as_ref(), Ok(&read));
                assert_eq!(read.cluster().is_some(), kind == Kind::Cluster);
            }
            Err(error) => assert!(!error.field.is_empty() && !error.what.is_empty()),
        }
    }
}
