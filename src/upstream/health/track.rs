use super::Config;
use crate::types::BackendState;

/// A backend's state according to its checks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) state: BackendState,
    /// How many of the last checks in a row contradict the state.
    against: u32,
}

// === impl Track ===

impl Track {
    pub(super) const fn new() -> Self {
        Self { state: BackendState::Unknown, against: 0 }
    }

    /// The state after one more check.
    pub(super) fn step(self, passed: bool, config: &Config) -> Self {
        let (other, limit) = match (self.state, passed) {
            // ## Unknown => (Up | Down): the first result counts at once.
            (BackendState::Unknown, true) => return Self { state: BackendState::Up, against: 0 },
            (BackendState::Unknown, false) => return Self { state: BackendState::Down, against: 0 },
            (BackendState::Up, true) | (BackendState::Down, false) => return Self { against: 0, ..self },
            // ## Up => (Up | Down)
            (BackendState::Up, false) => (BackendState::Down, config.unhealthy_after),
            // ## Down => (Down | Up)
            (BackendState::Down, true) => (BackendState::Up, config.healthy_after),
        };
        let against = self.against + 1;
        if against >= limit { Self { state: other, against: 0 } } else { Self { against, ..self } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(unhealthy_after: u32, healthy_after: u32) -> Config {
        Config { unhealthy_after, healthy_after, ..Config::default() }
    }

    fn run(results: &[bool], config: &Config) -> Vec<BackendState> {
        let step = |track: &mut Track, passed: &bool| {
            *track = track.step(*passed, config);
            Some(track.state)
        };
        results.iter().scan(Track::new(), step).collect()
    }

    #[test]
    fn only_an_unbroken_row_changes_the_state() {
        use BackendState::{Down, Up};
        let (ok, no) = (true, false);
        let states = run(&[ok, no, no, ok, no, no, no, ok, no, ok, ok], &config(3, 2));
        assert_eq!(states, [Up, Up, Up, Up, Up, Up, Down, Down, Down, Down, Up]);
        assert_eq!(run(&[no, ok, ok], &config(3, 2)), [Down, Down, Up]);
    }

    proptest! {
        /// Against the definition: the state is the value of the last row that was long enough, or of the first check.
        #[test]
        fn it_is_what_the_last_long_enough_row_says(
            results in prop::collection::vec(any::<bool>(), 1..60),
            unhealthy_after in 1_u32..5,
            healthy_after in 1_u32..5,
        ) {
            let mut expected = results[0];
            let mut row = 0;
            let states = run(&results, &config(unhealthy_after, healthy_after));
            for (index, passed) in results.iter().enumerate() {
                row = if index > 0 && results[index - 1] == *passed { row + 1 } else { 1 };
                if row >= if *passed { healthy_after } else { unhealthy_after } {
                    expected = *passed;
                }
                let expected = if expected { BackendState::Up } else { BackendState::Down };
                prop_assert_eq!(states[index], expected);
            }
        }
    }
}
