//! What follows a failed command: smaller batches, or a pause.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Machine, State, settle::Writing};
use crate::{
    etcd::{Error, explain},
    net::Backoff,
    replication::{decide::Scope, queue::MAX_KEYS, refused::kind_prefix, work::Sides},
};

// === impl Machine ===

impl Machine {
    pub(super) fn failed(&mut self, state: &State, error: &Error, sides: Sides<'_>, now: Instant) -> State {
        let batch = std::mem::take(&mut self.in_flight);
        let is_held = matches!(state, State::Holding { .. } | State::Waiting { fence: Some(_), .. });
        if is_held && !batch.is_empty() && matches!(error, Error::Denied { .. }) {
            self.denied(&batch, error, sides, now);
            return state.clone();
        }
        self.tally.errors += 1;
        let mut text = explain(error);
        if let State::Proving { .. } = state {
            let fault = if matches!(error, Error::Denied { .. }) { "" } else { ", which does not answer" };
            text = format!("{UNPROVEN}{fault}: {text}");
        }
        let fence = match state {
            State::Holding { fence } => Some(*fence),
            State::Waiting { fence, .. } => *fence,
            _ => None,
        };
        let was_settling = std::mem::take(&mut self.records.writing) != Writing::Nothing;
        if let (Some(fence), Error::TooLarge { .. } | Error::Rejected { .. }) = (fence, error) {
            match &batch[..] {
                [] if was_settling && self.most > 1 => {
                    self.most = self.most / 4 + 1;
                    return State::Holding { fence };
                }
                [] => {}
                [key] => {
                    self.work.refuse(&self.assignment, sides, key, text);
                    // It was to blame, not the number.
                    self.most = MAX_KEYS;
                    return State::Holding { fence };
                }
                keys => {
                    // Fewer at once: the etcd may accept fewer operations, or one of the objects may be the cause.
                    self.most = keys.len() / 4 + 1;
                    return State::Holding { fence };
                }
            }
        }
        let was_writing = was_settling || !batch.is_empty();
        self.unresolved |= was_writing && error.leaves_write_unknown();
        let fence = fence.filter(|_| !self.unresolved);
        let may_delete = matches!(error, Error::NoSpace) && !self.work.queue.begins_with_deletion();
        let pause = self.backoff();
        let State::Waiting { until, fence, .. } = self.wait(now, pause, fence, text) else {
            return State::Asking;
        };
        State::Waiting { until, fence, may_delete }
    }

    /// Something in a batch is denied. etcd does not say what: kinds are tried apart from each other, and the one to blame
    /// is left alone for a while.
    fn denied(&mut self, batch: &[Bytes], error: &Error, sides: Sides<'_>, now: Instant) {
        let prefixes: BTreeSet<String> = batch.iter().filter_map(|key| kind_prefix(key)).collect();
        let concerns = |scope: &&Scope| {
            let own = scope.prefix();
            prefixes.iter().any(|prefix| prefix.starts_with(&own) || own.starts_with(prefix))
        };
        let concerned = self.assignment.scopes.iter().filter(concerns);
        self.tally.denied.extend(concerned.map(|scope| Arc::clone(&scope.name)));
        if prefixes.len() > 1 {
            self.one_kind = true;
            return;
        }
        for prefix in prefixes {
            let pause = RETRY.delay(self.work.refused.failures(&prefix), &mut self.random);
            let text = format!("{prefix} {DENIED}: {}", explain(error));
            self.one_kind = true;
            self.work.deny(&self.assignment, sides, prefix, text.into(), now + pause);
        }
    }

    pub(super) fn wait(&mut self, now: Instant, pause: Duration, fence: Option<i64>, text: String) -> State {
        self.trouble = Some(text.into());
        State::Waiting { until: now + pause, fence, may_delete: false }
    }

    /// Doubles up to a maximum; half of it is random, so that many destinations are not retried at once.
    pub(super) fn backoff(&mut self) -> Duration {
        let pause = RETRY.delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

const DENIED: &str = "may not be written at the destination, so nothing there is changed or deleted";

const UNPROVEN: &str = "cannot check that this is not the local cluster's own etcd";

/// Pauses after errors.
const RETRY: Backoff = Backoff { first: Duration::from_millis(500), longest: LONGEST_RETRY, jitter: 0.5 };

/// Longest pause after an error.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(10);
