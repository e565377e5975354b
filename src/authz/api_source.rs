use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    Feeder, LocalError, Minter, Rules,
    local::{self, Answer},
    table::{Kind, MAX_BYTES, Table, too_large},
};
use crate::{
    corev2,
    net::Backoff,
    upstream::Manager,
    wire::{ReadError, header::continue_token},
};

/// The pages of one list.
#[derive(Default)]
struct Pages {
    bodies: Vec<Bytes>,
    bytes: usize,
}

/// Why a poll yielded no rules.
#[derive(Debug)]
pub(super) enum Failure {
    Local(LocalError),
    TooLarge,
}

/// Of what a successful poll has read, to be compared with the next one.
pub(super) type Digest = [u8; 32];

// === impl Feeder ===

impl Feeder {
    /// Polls the local cluster's API every few seconds as user `fedgate`. Never ends. May be dropped at any time and
    /// started again: the rules that were read stay in force.
    ///
    /// Each request carries a token of group `cluster-admins`. Where the local cluster is reached over plain HTTP or
    /// without verifying its certificate, anyone on the network path can use it on every cluster.
    pub async fn follow_api(&mut self, manager: Manager, minter: Minter) {
        let mut random = fastrand::Rng::new();
        let mut seen = None;
        let mut failures = 0;
        loop {
            match poll(&manager, &minter, seen).await {
                Ok(changed) => {
                    failures = 0;
                    self.found();
                    if let Some((digest, rules)) = changed {
                        seen = Some(digest);
                        self.publish(rules);
                    }
                }
                Err(Failure::TooLarge) => {
                    (failures, seen) = (u32::MAX, None);
                    self.found();
                    self.publish(Rules::new(Err(too_large())));
                }
                Err(Failure::Local(error)) => {
                    failures = failures.saturating_add(1);
                    self.lost(&error);
                }
            }
            sleep(POLL.delay(failures, &mut random)).await;
        }
    }
}

/// The rules, unless they are those that were seen before.
pub(super) async fn poll(
    manager: &Manager,
    minter: &Minter,
    seen: Option<Digest>,
) -> Result<Option<(Digest, Rules)>, Failure> {
    // A role that is created after the bindings were read does no harm; a binding created after the roles would dangle.
    let bindings = list(manager, minter, "clusterrolebindings", 0).await?;
    let roles = list(manager, minter, "clusterroles", bindings.bytes).await?;
    let digest = digest_of([&bindings, &roles]);
    if seen == Some(digest) {
        return Ok(None);
    }
    let mut table = Table::default();
    let mut index = 0_usize;
    bindings.each(&mut |item| {
        // The list is in the order of the keys, but does not contain them.
        table.put(Kind::Binding, format!("{index:08}").as_bytes(), item);
        index += 1;
        !table.is_too_large()
    })?;
    roles.each(&mut |item| {
        put_role(&mut table, item);
        !table.is_too_large()
    })?;
    Ok(Some((digest, table.rules())))
}

/// Adds a role under the name that it has.
fn put_role(table: &mut Table, item: &[u8]) {
    let Ok(role) = corev2::decode::<corev2::ClusterRole>(item, "ClusterRole") else {
        // Without a name no binding can mean it.
        return;
    };
    let name = role.metadata.unwrap_or_default().name;
    if table.has_role(name.as_bytes()) {
        // Copies under other keys keep their name: which of them a binding refers to cannot be seen here.
        table.mark_role_unreadable(name.as_bytes());
    } else {
        table.put(Kind::Role, name.as_bytes(), item);
    }
}

/// Reads a list to its end; with `read` it must not be larger than the gateway holds.
async fn list(manager: &Manager, minter: &Minter, collection: &str, read: usize) -> Result<Pages, Failure> {
    let mut pages = Pages::default();
    let mut target = format!("/api/core/v2/{collection}");
    for _ in 0..MAX_PAGES {
        let limit = MAX_BYTES.saturating_sub(read + pages.bytes);
        let answer = match local::get(manager, minter, &target, limit).await {
            Err(error) if is_too_large(&error) => return Err(Failure::TooLarge),
            answer => answer.map_err(Failure::Local)?,
        };
        let next = pages.take(answer)?;
        let Some(token) = next else { return Ok(pages) };
        target = format!("/api/core/v2/{collection}?continue={token}");
    }
    Err(Failure::TooLarge)
}

fn is_too_large(error: &LocalError) -> bool {
    matches!(error, LocalError::Body(error) if matches!(**error, ReadError::TooLarge { .. }))
}

fn digest_of(lists: [&Pages; 2]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for pages in lists {
        // The lengths keep what ends one list from beginning the next.
        context.update(&pages.bytes.to_be_bytes());
        for body in &pages.bodies {
            context.update(body);
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

// === impl Pages ===

impl Pages {
    /// Keeps a page. Returns where the next one begins.
    fn take(&mut self, answer: Answer) -> Result<Option<String>, Failure> {
        if answer.status != StatusCode::OK {
            return Err(Failure::Local(LocalError::of_status(answer.status)));
        }
        self.bytes += answer.body.len();
        self.bodies.push(answer.body);
        let next = continue_token(&answer.headers);
        let next = next.map_err(|_| Failure::Local(LocalError::Malformed("list")))?;
        Ok(next.map(str::to_owned))
    }

    /// Calls `with` with each object, until it returns that this is too much.
    fn each(&self, with: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Failure> {
        let malformed = || Failure::Local(LocalError::Malformed("list"));
        for body in &self.bodies {
            let items: Option<Vec<&RawValue>> = serde_json::from_slice(body).map_err(|_| malformed())?;
            for item in items.into_iter().flatten() {
                // Anything but an object would be read as if it were protobuf.
                let item = item.get().as_bytes();
                if item.first() != Some(&b'{') {
                    return Err(malformed());
                }
                if !with(item) {
                    return Err(Failure::TooLarge);
                }
            }
        }
        Ok(())
    }
}

/// Between two polls; longer after failures. A cluster that is back is noticed within the longest.
const POLL: Backoff =
    Backoff { first: Duration::from_secs(3), longest: Duration::from_secs(24), jitter: 0.25 };

/// Sensu sends a list that is asked for without `limit` as one page.
const MAX_PAGES: usize = 100;
