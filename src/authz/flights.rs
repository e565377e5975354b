use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::{Mutex, MutexGuard};

/// Calls in progress, at most one for each key. A call belongs to those that wait for it: it is cancelled when the last
/// of them has left.
pub(super) struct Flights<K: Eq + Hash, V>(Mutex<Board<K, V>>);

struct Board<K, V> {
    flights: HashMap<K, (u64, WeakShared<BoxFuture<'static, V>>)>,
    last_number: u64,
}

/// Takes its flight off the board on drop.
struct Entry<K: Eq + Hash, V> {
    board: Arc<Flights<K, V>>,
    key: K,
    number: u64,
}

// === impl Flights ===

impl<K: Eq + Hash, V> Flights<K, V> {
    /// The flight of this key; the one that `begin` starts if there is none.
    pub(super) fn join(
        self: &Arc<Self>,
        key: K,
        begin: impl FnOnce() -> BoxFuture<'static, V>,
    ) -> Shared<BoxFuture<'static, V>>
    where
        K: Copy + Send + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let mut board = self.board();
        if let Some(flight) = board.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        board.last_number += 1;
        let number = board.last_number;
        let entry = Entry { board: Arc::clone(self), key, number };
        let call = begin();
        let flight = async move {
            let _entry = entry;
            call.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            board.flights.insert(key, (number, weak));
        }
        flight
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.board().flights.len()
    }

    fn board(&self) -> MutexGuard<'_, Board<K, V>> {
        self.0.lock()
    }
}

impl<K: Eq + Hash, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Board { flights: HashMap::new(), last_number: 0 }))
    }
}

impl<K: Eq + Hash, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

// === impl Entry ===

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        let mut board = self.board.board();
        // A later flight of the same key stays.
        if board.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            board.flights.remove(&self.key);
        }
    }
}
