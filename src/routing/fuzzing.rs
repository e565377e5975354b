//! Entry point for fuzzers: routing must be total, and what it forwards must be stable.

use http::Method;

use super::{Route, route};
use crate::types::{Cluster, ListScope, Snapshot, Source, TlsFiles};

/// Routes arbitrary bytes as a request target; the un-qualified target must route to itself again.
///
/// # Panics
/// When a property does not hold.
pub fn route_is_total_and_stable(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let clusters = Snapshot::new(["local-cluster", "alpha"].iter().filter_map(|name| {
        Some(Cluster {
            name: name.parse().ok()?,
            backends: Vec::new(),
            tls: TlsFiles::default(),
            source: Source::Config,
        })
    }));
    for method in [Method::GET, Method::PUT, Method::POST] {
        let Ok(Route::Forward(forward)) = route(&method, text, &clusters, ListScope::All).route else {
            continue;
        };
        assert!(forward.target.starts_with('/'), "{text:?}");
        if forward.prefix.is_none() {
            match route(&method, &forward.target, &clusters, ListScope::All).route {
                Ok(Route::Forward(again)) => assert_eq!(again.target, forward.target),
                other => panic!("{text:?} gave {forward:?}, which gave {other:?}"),
            }
        }
    }
}
