/// The backends that a request has not tried yet. Bit `n` of a set stands for the cluster's backend `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates([u64; 3]);

/// When a backend's turn comes: all of one rank before any of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// It is expected to answer.
    Good,
    /// It closed a connection that had been idle for a while, which says little about a new one.
    Again,
    /// It is down, and may be back.
    LastResort,
}

// === impl Candidates ===

impl Candidates {
    pub(super) fn add(&mut self, index: usize, rank: Rank) {
        self.0[rank as usize] |= 1 << index;
    }

    /// Takes the less loaded of two random ones, which spreads requests evenly without sending all of them to the one
    /// that was idle a moment ago.
    pub(super) fn next(&mut self, load: impl Fn(usize) -> usize) -> Option<usize> {
        let set = self.0.iter_mut().find(|set| **set != 0)?;
        let index = match set.count_ones() {
            1 => set.trailing_zeros(),
            count => {
                let first = nth(*set, fastrand::u32(..count));
                let second = nth(*set & !(1 << first), fastrand::u32(..count - 1));
                if load(second as usize) < load(first as usize) { second } else { first }
            }
        };
        *set &= !(1 << index);
        Some(index as usize)
    }
}

/// Position of the set's bit number `n`.
fn nth(mut set: u64, n: u32) -> u32 {
    for _ in 0..n {
        set &= set - 1;
    }
    set.trailing_zeros()
}

/// Most backends of one cluster that are used.
pub(super) const MAX_BACKENDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_one_is_taken_once_and_the_good_ones_first(
            good in prop::collection::btree_set(0..MAX_BACKENDS, 0..10),
            again in prop::option::of(0..MAX_BACKENDS),
            others in prop::collection::btree_set(0..MAX_BACKENDS, 0..10),
            loads in prop::collection::vec(0_usize..3, MAX_BACKENDS),
        ) {
            let again: BTreeSet<_> = again.into_iter().filter(|index| !good.contains(index)).collect();
            let others: BTreeSet<_> = others.difference(&good).filter(|index| !again.contains(index)).copied().collect();
            let mut candidates = Candidates::default();
            for index in &good { candidates.add(*index, Rank::Good); }
            for index in &again { candidates.add(*index, Rank::Again); }
            for index in &others { candidates.add(*index, Rank::LastResort); }
            let taken: Vec<_> = std::iter::from_fn(|| candidates.next(|index| loads[index])).collect();
            let (first, then) = taken.split_at(good.len());
            let (second, then) = then.split_at(again.len());
            prop_assert_eq!(first.iter().copied().collect::<BTreeSet<_>>(), good);
            prop_assert_eq!(second.iter().copied().collect::<BTreeSet<_>>(), again);
            prop_assert_eq!(then.iter().copied().collect::<BTreeSet<_>>(), others.clone());
            prop_assert_eq!(then.len(), others.len());
        }
    }

    #[test]
    fn of_two_the_less_loaded_is_taken_and_of_equal_ones_either() {
        let pair = || {
            let mut candidates = Candidates::default();
            candidates.add(3, Rank::Good);
            candidates.add(63, Rank::Good);
            candidates
        };
        let mut taken = BTreeSet::new();
        for _ in 0..200 {
            assert_eq!(pair().next(|index| index), Some(3));
            taken.extend(pair().next(|_| 0));
        }
        assert_eq!(taken, BTreeSet::from([3, 63]));
    }
}
