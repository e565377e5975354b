use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::types::Rate;

/// A token bucket: as many places as failures are allowed, which fill again over the period.
pub(super) struct Bucket {
    rate: Rate,
    state: Mutex<State>,
    /// An attempt has ended.
    ended: Notify,
}

struct State {
    /// Free places.
    free: f64,
    at: Instant,
    /// Attempts that hold a place and may give it back.
    under_way: u32,
    /// Whether somebody was refused since the bucket was full.
    was_told: bool,
}

/// A place in a bucket. Dropped, it is used up.
pub(super) struct Place {
    bucket: Arc<Bucket>,
    given_back: f64,
}

/// No place for now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) after: Duration,
    /// Nobody was refused since the bucket was full.
    pub(super) is_first: bool,
}

/// What there is for the next one.
enum Found {
    Place,
    /// One may be given back.
    Hope,
    None(Refusal),
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let state = State { free: f64::from(rate.count), at: Instant::now(), under_way: 0, was_told: false };
        Self { rate, state: Mutex::new(state), ended: Notify::new() }
    }

    /// Takes a place. Waits as long as all are taken and one may be given back.
    pub(super) async fn place(self: &Arc<Self>) -> Result<Place, Refusal> {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Before looking, or an end in between would go unheard.
            ended.as_mut().enable();
            match self.look() {
                Found::Place => return Ok(Place { bucket: Arc::clone(self), given_back: 0.0 }),
                Found::Hope => ended.await,
                Found::None(refusal) => return Err(refusal),
            }
        }
    }

    fn look(&self) -> Found {
        let mut state = self.state.lock();
        state.fill(self.rate);
        if state.free >= 1.0 {
            state.free -= 1.0;
            state.under_way += 1;
            Found::Place
        } else if state.under_way > 0 {
            Found::Hope
        } else {
            let after = self.rate.period.mul_f64((1.0 - state.free) / f64::from(self.rate.count));
            Found::None(Refusal { after, is_first: !std::mem::replace(&mut state.was_told, true) })
        }
    }

    /// An attempt has ended, and these places are free again.
    fn end(&self, places: f64) {
        {
            let mut state = self.state.lock();
            state.under_way = state.under_way.saturating_sub(1);
            state.free += places;
            state.fill(self.rate);
        }
        self.ended.notify_waiters();
    }
}

// === impl State ===

impl State {
    fn fill(&mut self, rate: Rate) {
        let now = Instant::now();
        let all = f64::from(rate.count);
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        let most = (all - f64::from(self.under_way)).max(0.0);
        self.free = (self.free + since / rate.period.as_secs_f64() * all).min(most);
        self.at = now;
        if self.free >= all {
            self.was_told = false;
        }
    }
}

// === impl Place ===

impl Place {
    /// It was not used up; after a success all that was is forgotten.
    pub(super) fn give_back(mut self, all: bool) {
        self.given_back = if all { f64::from(self.bucket.rate.count) } else { 1.0 };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bucket.end(self.given_back);
    }
}
