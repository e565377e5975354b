//! Where the simulated Sensu knowingly differs from the real one.

/// Names of exchanges, with the reason. One that no longer differs fails its group, so that this list stays true.
pub(crate) const KNOWN: &[(&str, &str)] = &[];
