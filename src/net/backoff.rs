use std::time::Duration;

/// How long to wait between attempts: twice as long after each failure, up to a longest, and in part randomly long so
/// that many clients of one peer do not come back together.
///
/// Holds no state: the caller counts its failures, and brings its own randomness, so that tests are deterministic.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait before it is doubled for the first time.
    pub first: Duration,
    /// The wait that no number of failures exceeds.
    pub longest: Duration,
    /// The part of each wait that is random, from 0 to 1.
    pub jitter: f64,
}

// === impl Backoff ===

impl Backoff {
    /// The wait after so many doublings, at its longest.
    pub fn ceiling(&self, doublings: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.longest)
    }

    /// The wait after so many doublings.
    pub fn delay(&self, doublings: u32, random: &mut fastrand::Rng) -> Duration {
        self.ceiling(doublings).mul_f64(1.0 - self.jitter + self.jitter * random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10), jitter: 0.25 };

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds = [0, 1, 2, 3, 4, 31, 32, u32::MAX].map(|doublings| BACKOFF.ceiling(doublings).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10, 10]);
    }

    #[test]
    fn the_jitter_shortens_by_its_part_at_most_and_follows_its_seed() {
        let mut random = fastrand::Rng::with_seed(1);
        let delays: Vec<_> = (0..100).map(|_| BACKOFF.delay(2, &mut random)).collect();
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*shortest >= Duration::from_secs(3) && *longest <= Duration::from_secs(4), "{delays:?}");
        assert!(*longest > *shortest + Duration::from_millis(500), "{delays:?}");
        assert_eq!(BACKOFF.delay(2, &mut fastrand::Rng::with_seed(1)), delays[0]);
    }
}
