use std::{collections::HashMap, fmt, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::{Mutex, MutexGuard};

use super::exchange::{ExchangeError, KeyId};
use crate::types::Principal;

/// What a key stands for.
pub(super) type Outcome = Result<Arc<Principal>, ExchangeError>;

/// Questions under way, of which each key has one. It belongs to those that wait for it: when all have left, it ends.
#[derive(Default)]
pub(super) struct Flights(Mutex<Board>);

#[derive(Default)]
struct Board {
    flights: HashMap<KeyId, (u64, WeakShared<BoxFuture<'static, Outcome>>)>,
    last_number: u64,
}

/// Takes its flight off the board on drop.
struct Listed {
    board: Arc<Flights>,
    id: KeyId,
    number: u64,
}

// === impl Flights ===

impl Flights {
    /// The flight of this key; a new one if there is none.
    pub(super) fn join(
        self: &Arc<Self>,
        id: KeyId,
        begin: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Shared<BoxFuture<'static, Outcome>> {
        let mut board = self.board();
        if let Some(flight) = board.flights.get(&id).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        board.last_number += 1;
        let number = board.last_number;
        let listed = Listed { board: Arc::clone(self), id, number };
        let question = begin();
        let flight = async move {
            let _listed = listed;
            question.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            board.flights.insert(id, (number, weak));
        }
        flight
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.board().flights.len()
    }

    /// Held for a look-up only, which cannot panic half-way.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock()
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

// === impl Listed ===

impl Drop for Listed {
    fn drop(&mut self) {
        let mut board = self.board.board();
        // A later flight of the same key stays.
        if board.flights.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            board.flights.remove(&self.id);
        }
    }
}
