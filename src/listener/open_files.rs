//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and says how many clients may be connected then: `wanted`, or as
/// many as leave the other half of the files for connections to the clusters. The log says when that is fewer.
pub fn usable_connections(wanted: usize) -> usize {
    let limit = raise();
    let usable = fitting(wanted, limit);
    if usable < wanted {
        tracing::warn!(
            open_files = limit,
            wanted,
            usable,
            "too few open files for limits.connections, so fewer connections are accepted: raise the hard limit \
             (LimitNOFILE= in the unit, ulimits in the container) to twice limits.connections"
        );
    }
    usable
}

/// The limit from now on; `None` is no limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the soft limit of open files cannot be raised to the hard one");
            current
        }
    }
}

fn fitting(wanted: usize, limit: Option<u64>) -> usize {
    let half = limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    wanted.min(half.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_left_for_the_clusters() {
        for (wanted, limit, usable) in [
            (10_000, None, 10_000),
            (10_000, Some(1_048_576), 10_000),
            (10_000, Some(20_000), 10_000),
            (10_000, Some(1024), 512),
            (100, Some(128), 64),
            (100, Some(0), 1),
        ] {
            assert_eq!(fitting(wanted, limit), usable, "{wanted} of {limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((raised, current), (maximum, maximum));
    }
}
