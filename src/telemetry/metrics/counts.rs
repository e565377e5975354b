use std::{
    array,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

/// One set of counts for each thread that counts, so that no worker touches what another one writes. Whoever wants the
/// sums adds the sets up.
#[derive(Debug)]
pub struct PerWorker<T> {
    /// A set is made when its thread counts for the first time.
    sets: Box<[OnceLock<Box<Apart<T>>>]>,
}

/// A count of events, or of bytes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// How long something took, in the classic buckets of `BOUNDS`.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Count; BOUNDS.len() + 1],
    nanos: Count,
}

/// The sum of several [`Durations`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

/// Counts by HTTP status. One that is not registered counts as the `x00` of its class, as clients take it (RFC 9110
/// §15), so that no server can make up labels.
#[derive(Debug)]
pub struct ByStatus([Count; STATUSES.len()]);

/// Keeps a set off the cache lines of everything else.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

// === impl PerWorker ===

impl<T: Default> PerWorker<T> {
    /// The set of the thread that calls.
    pub fn here(&self) -> &T {
        let slot = SLOT.with(|slot| *slot);
        &self.sets[slot].get_or_init(Box::default).0
    }
}

impl<T> PerWorker<T> {
    /// The sets that there are.
    pub fn sets(&self) -> impl Iterator<Item = &T> {
        self.sets.iter().filter_map(|set| Some(&set.get()?.0))
    }

    /// One count of all sets together.
    pub fn sum(&self, count: impl Fn(&T) -> &Count) -> u64 {
        self.sets().map(|set| count(set).get()).sum()
    }

    /// One kind of durations of all sets together.
    pub fn distribution(&self, durations: impl Fn(&T) -> &Durations) -> Distribution {
        let mut all = Distribution::default();
        self.sets().for_each(|set| all.add(durations(set)));
        all
    }
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self { sets: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }
}

// === impl Count ===

impl Count {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts several.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Durations ===

impl Durations {
    /// Takes one in.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound.0 < nanos);
        self.buckets[bucket].inc();
        self.nanos.add(nanos);
    }
}

// === impl Distribution ===

impl Distribution {
    /// Adds what was observed so far.
    pub fn add(&mut self, durations: &Durations) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&durations.buckets) {
            *sum += bucket.get();
        }
        self.nanos = self.nanos.saturating_add(durations.nanos.get());
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in seconds.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }

    /// Upper bounds in seconds, and how many are within each and above the one before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| bound.1).chain([f64::INFINITY]);
        bounds.zip(self.buckets).collect()
    }
}

// === impl ByStatus ===

impl ByStatus {
    /// Counts one answer.
    pub fn inc(&self, status: StatusCode) {
        self.0[index_of(status.as_u16())].inc();
    }

    /// Every status that was counted, and how often, in several sets together.
    pub fn summed<'a>(sets: impl Iterator<Item = &'a Self>) -> impl Iterator<Item = (u16, u64)> {
        let mut sums = [0; STATUSES.len()];
        for set in sets {
            sums.iter_mut().zip(&set.0).for_each(|(sum, count)| *sum += count.get());
        }
        STATUSES.into_iter().zip(sums).filter(|(_, count)| *count > 0)
    }
}

impl Default for ByStatus {
    fn default() -> Self {
        Self(array::from_fn(|_| Count::default()))
    }
}

fn index_of(status: u16) -> usize {
    STATUSES.binary_search(&status).unwrap_or_else(|_| {
        let class = (status / 100).clamp(1, 5) * 100;
        STATUSES.binary_search(&class).unwrap_or(0)
    })
}

thread_local! {
    /// Which of the sets is this thread's. Threads beyond the last one share.
    static SLOT: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SLOTS
    };
}

/// More than machines have cores that serve one gateway.
const SLOTS: usize = 64;

/// Upper bounds of the buckets, in nanoseconds and seconds: from a page out of memory to the longest timeout of a cluster.
const BOUNDS: [(u64, f64); 17] = [
    (100_000, 0.0001),
    (250_000, 0.00025),
    (500_000, 0.0005),
    (1_000_000, 0.001),
    (2_500_000, 0.0025),
    (5_000_000, 0.005),
    (10_000_000, 0.01),
    (25_000_000, 0.025),
    (50_000_000, 0.05),
    (100_000_000, 0.1),
    (250_000_000, 0.25),
    (500_000_000, 0.5),
    (1_000_000_000, 1.0),
    (2_500_000_000, 2.5),
    (5_000_000_000, 5.0),
    (10_000_000_000, 10.0),
    (30_000_000_000, 30.0),
];

/// The registered statuses, and 499: the client left before there was an answer.
const STATUSES: [u16; 63] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307,
    308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421,
    422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_thread_counts_for_itself_and_the_sum_is_of_all() {
        let counts: PerWorker<Count> = PerWorker::default();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..1000).for_each(|_| counts.here().inc()));
            }
        });
        assert_eq!(counts.sum(|count| count), 3000);
        assert!(counts.sets().count() > 1, "the threads have sets of their own");
    }

    #[test]
    fn threads_beyond_the_last_set_share_one_and_lose_nothing() {
        let counts: PerWorker<Count> = PerWorker::default();
        thread::scope(|scope| {
            for _ in 0..2 * SLOTS {
                scope.spawn(|| counts.here().inc());
            }
        });
        assert_eq!(counts.sum(|count| count), 2 * SLOTS as u64);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let durations = Durations::default();
        for nanos in [0, 100_000, 100_001, 30_000_000_000, 30_000_000_001, u64::MAX / 2] {
            durations.observe(Duration::from_nanos(nanos));
        }
        let mut all = Distribution::default();
        all.add(&durations);
        let filled: Vec<_> = all.buckets().into_iter().filter(|bucket| bucket.1 > 0).collect();
        assert_eq!(filled, [(0.0001, 2), (0.00025, 1), (30.0, 1), (f64::INFINITY, 2)]);
        assert_eq!(all.count(), 6);
    }

    #[test]
    fn the_bounds_are_the_same_in_both_units() {
        for (nanos, seconds) in BOUNDS {
            assert!((Duration::from_nanos(nanos).as_secs_f64() - seconds).abs() < 1e-12, "{seconds}");
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn no_server_can_make_up_labels() {
        let counts = ByStatus::default();
        for status in 100..1000 {
            counts.inc(StatusCode::from_u16(status).unwrap());
        }
        let counted: Vec<_> = ByStatus::summed([&counts].into_iter()).collect();
        assert!(counted.len() <= STATUSES.len());
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<u64>(), 900);
        for known in [204, 404, 418, 499, 503] {
            assert!(counted.contains(&(known, 1)), "{known}: {counted:?}");
        }
    }
}
