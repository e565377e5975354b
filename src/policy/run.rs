//! The task of one cluster: carries out what its machine says.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    client::{Client, Failure},
    decide::{MAKERS_ROLE, Op, Owner, federation_of},
    machine::{Assignment, Machine, Step, Written},
    object::{Key, Object},
    plan::Action,
    source::Source,
    status::{Report, report},
};
use crate::{corev2::Type, leadership::Term};

/// What a task works with.
pub(super) struct Follower {
    pub(super) client: Client,
    pub(super) federation: Arc<str>,
    pub(super) source: watch::Receiver<Arc<Source>>,
    pub(super) assignments: watch::Receiver<Arc<Assignment>>,
    pub(super) terms: watch::Receiver<Option<Term>>,
    pub(super) reports: watch::Sender<Report>,
    pub(super) reported: watch::Sender<()>,
}

// === impl Follower ===

impl Follower {
    /// Ends, after the request in flight, once there is no assignment any more.
    pub(super) async fn run(mut self) {
        let first = Arc::clone(&self.assignments.borrow_and_update());
        let seed = fastrand::u64(..);
        let mut machine = Machine::new(Arc::clone(&self.federation), first, Instant::now(), seed);
        while self.assignments.has_changed().is_ok() {
            self.step(&mut machine).await;
            self.report(&machine);
        }
    }

    async fn step(&mut self, machine: &mut Machine) {
        if self.assignments.has_changed().unwrap_or(false) {
            let new = Arc::clone(&self.assignments.borrow_and_update());
            machine.assign(new, Instant::now());
        }
        if self.source.has_changed().unwrap_or(false) {
            machine.source_changed();
        }
        let source = Arc::clone(&self.source.borrow_and_update());
        machine.source_unread(source.troubles.keys().copied());
        match machine.next(&source.originals, Instant::now()) {
            Step::List { kind, namespace, from } => {
                let page = self.client.list(kind, namespace.as_deref(), from.as_deref()).await;
                machine.listed(page, Instant::now());
            }
            Step::Write(action) => {
                let again = machine.is_repeated(&action);
                let written = self.write(&action, again).await;
                machine.wrote(written, Instant::now());
            }
            Step::Wait(until) => {
                self.report(machine);
                tokio::select! {
                    () = sleep_until(until) => {}
                    // Its end is seen by the caller.
                    _ = self.assignments.changed() => self.assignments.mark_changed(),
                    Ok(()) = self.source.changed() => self.source.mark_changed(),
                }
            }
        }
    }

    async fn write(&self, action: &Action, look_again: bool) -> Written {
        match self.try_to_write(action, look_again).await {
            Ok(written) => written,
            Err(failure) => Written::Failed(failure),
        }
    }

    async fn try_to_write(&self, action: &Action, look_again: bool) -> Result<Written, Failure> {
        let key = &action.key;
        if let Op::Create(original) = &action.op {
            self.fence()?;
            return match self.client.create(key, original.copy_of(&self.federation)).await {
                // Somebody else was faster.
                Err(Failure::Exists) => Ok(Written::Changed(self.client.get(key).await?)),
                created => created.map(|()| Written::Done(None)),
            };
        }
        // Sensu takes no condition for these: so they are decided on what is there a moment before.
        let now = self.client.get(key).await?;
        let Some(found) = now else { return Ok(Written::Changed(None)) };
        let owner = self.owner(key, &found).await?;
        if action.expected != Some((found.digest, owner)) {
            return Ok(Written::Changed(Some(found)));
        }
        self.fence()?;
        match &action.op {
            Op::Update(original) => self.client.replace(key, original.copy_of(&self.federation)).await?,
            Op::Empty => self.client.replace(key, key.emptied(&self.federation)).await?,
            Op::Delete | Op::Create(_) => match self.client.delete(key).await {
                Err(Failure::Missing) => {}
                deleted => deleted?,
            },
        }
        let seen = if look_again { self.client.get(key).await? } else { None };
        Ok(Written::Done(seen))
    }

    /// Asked right before each write, with nothing to wait for in between: a gateway that was paused may not lead any more,
    /// also when it was paused between the look and the write.
    fn fence(&self) -> Result<(), Failure> {
        match &*self.terms.borrow() {
            Some(term) if term.is_current() => Ok(()),
            _ => Err(Failure::Away("this gateway does not lead at present".into())),
        }
    }

    async fn owner(&self, key: &Key, found: &Object) -> Result<Owner, Failure> {
        let origin = if key.kind == Type::Namespace {
            let role = self.client.get(&Key::new(Type::Role, &key.name, MAKERS_ROLE)).await?;
            role.and_then(|role| federation_of(&role.creator).map(str::to_owned))
        } else {
            found.origin.clone()
        };
        Ok(Owner::of(origin.as_deref(), &self.federation))
    }

    fn report(&self, machine: &Machine) {
        let cluster = self.client.cluster();
        let changed = self.reports.send_if_modified(|old| report(machine, cluster, Instant::now(), old));
        if changed {
            self.reported.send_replace(());
        }
    }
}
