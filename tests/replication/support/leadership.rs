use std::sync::Arc;

use fedgate::leadership::{Leadership, Term};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

/// A leadership without an election: the test says who leads.
pub(crate) struct Scripted(watch::Sender<Option<Term>>);

impl Scripted {
    /// Leads nothing yet.
    pub(crate) fn standby() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(None)))
    }

    /// Leads from the beginning, whatever happens.
    pub(crate) fn leading(number: u64, gateway: &str) -> Arc<Self> {
        let scripted = Self::standby();
        scripted.lead(Some((number, gateway)));
        scripted
    }

    pub(crate) fn lead(&self, term: Option<(u64, &str)>) {
        self.0.send_replace(term.map(|(number, gateway)| Term::forever(number, gateway, "here")));
    }
}

impl Leadership for Scripted {
    fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.0.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        futures::future::pending().boxed()
    }

    fn resign(&self, _: bool) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }
}
