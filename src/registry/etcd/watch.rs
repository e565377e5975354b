use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{follow::Follow, layout::Layout};
use crate::{
    etcd::{Client, Mirror},
    registry::Event,
};

/// One watch of the store.
pub(super) struct Watch {
    client: Arc<Client>,
    layout: Arc<Layout>,
    mirror: Mirror,
    /// The mirror is not polled before.
    starts: Instant,
    follow: Follow,
    /// Not handed out yet.
    events: VecDeque<Event>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(client: Arc<Client>, layout: Arc<Layout>) -> Self {
        Self {
            mirror: layout.mirror(&client),
            starts: Instant::now(),
            follow: Follow::new(Arc::clone(&layout)),
            events: VecDeque::new(),
            client,
            layout,
        }
    }

    pub(super) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let deadline = self.follow.deadline();
            let overdue = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let (mirror, starts) = (&mut self.mirror, self.starts);
            let event = async {
                sleep_until(starts).await;
                mirror.next().await
            };
            tokio::select! {
                event = event => {
                    let now = Instant::now();
                    if self.follow.apply(event, now, &mut self.events).is_err() {
                        self.mirror = self.layout.mirror(&self.client);
                        self.starts = now + PAUSE;
                    }
                }
                () = overdue => self.follow.report_interruption(&mut self.events),
            }
        }
    }
}

/// Before a registry that was too large is read again.
const PAUSE: Duration = Duration::from_secs(60);
