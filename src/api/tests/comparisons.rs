//! How many comparisons may be under way, and for whom.

use std::sync::Arc;

use futures::FutureExt as _;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::{Answer, Rig, admin, replicator_body, viewer};
use crate::{
    api::{Compare, Comparisons},
    types::{Caller, Comparison},
};

const DIFF: &str = "etcd-replicators/r/diff";

/// An API whose comparisons end one by one, when they are told to.
struct Held {
    rig: Arc<Rig>,
    started: mpsc::UnboundedReceiver<()>,
    ends: Arc<Semaphore>,
}

// === impl Held ===

impl Held {
    async fn new() -> Self {
        let (start, started) = mpsc::unbounded_channel();
        let ends = Arc::new(Semaphore::new(0));
        let waiting = Arc::clone(&ends);
        let compare: Compare = Arc::new(move |_, _| {
            let (start, ends) = (start.clone(), Arc::clone(&waiting));
            async move {
                start.send(()).unwrap();
                ends.acquire().await.unwrap().forget();
                Some(Comparison::default())
            }
            .boxed()
        });
        let mut rig = Rig::new();
        rig.api = rig.api.with_comparisons(Comparisons::new(Some(compare), None));
        let body = replicator_body("r", &json!({"url": "https://a:2379", "resource": "Role"}));
        let put = rig.call(Method::PUT, "etcd-replicators/r", &body).await;
        assert_eq!(put.status, StatusCode::CREATED, "{}", put.body);
        Self { rig: Arc::new(rig), started, ends }
    }

    /// One that is under way.
    async fn start(&mut self, who: Caller) -> JoinHandle<Answer> {
        let rig = Arc::clone(&self.rig);
        let task = tokio::spawn(async move { rig.send(&who, Method::GET, DIFF, &[], b"").await });
        self.started.recv().await.unwrap();
        task
    }

    fn is_refused(&self, who: &Caller) {
        let answer = self.rig.send(who, Method::GET, DIFF, &[], b"").now_or_never().expect("at once");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn readers_cannot_keep_out_those_who_may_update_the_replicator() {
    let mut held = Held::new().await;
    let reader = held.start(viewer()).await;
    held.is_refused(&viewer());
    let first = held.start(admin()).await;
    let second = held.start(admin()).await;
    held.is_refused(&admin());
    held.ends.add_permits(3);
    for (task, detailed) in [(reader, false), (first, true), (second, true)] {
        let answer = task.await.unwrap();
        assert_eq!((answer.status, &answer.json()["detailed"]), (StatusCode::OK, &detailed.into()));
    }
    held.ends.add_permits(1);
    let again = held.start(viewer()).await;
    assert_eq!(again.await.unwrap().status, StatusCode::OK, "the slot is free again");
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_holds_no_slot() {
    let mut held = Held::new().await;
    let given_up = held.start(viewer()).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    held.ends.add_permits(1);
    assert_eq!(held.start(viewer()).await.await.unwrap().status, StatusCode::OK);
}
