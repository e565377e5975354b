//! Made-up clusters and an engine in front of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::{
    RECORDED,
    mock::{self, Server},
    schema, snapshot,
};
use crate::{
    graphql::{Answered, Call, Config, Engine, GraphQlError, introspection::INTROSPECTION},
    member::{Member, Members, Repeatable},
    types::{Caller, ClusterName, FailureClass, Principal, Snapshot},
    wire::Body,
};

/// How a cluster behaves.
#[derive(Clone, Debug)]
pub(super) enum Mood {
    Answers,
    Hangs,
    Fails(FailureClass),
    Says(StatusCode, &'static str),
    /// Answers with an error beside its data.
    Complains,
    /// Breaks off in the middle of its body.
    BreaksOff,
    /// Answers after some seconds.
    Slow(u64),
}

pub(super) struct Cluster {
    name: ClusterName,
    mood: Mutex<Mood>,
    /// Bodies that it got, introspection left out.
    got: Mutex<Vec<String>>,
    /// Whether the last of them may be sent again.
    repeatable: Mutex<bool>,
}

pub(super) struct All(HashMap<ClusterName, Arc<Cluster>>);

pub(super) struct World {
    engine: Engine,
    clusters: All,
    snapshot: Snapshot,
}

// === impl Cluster ===

impl Cluster {
    fn reply(&self, body: &[u8]) -> Response<Body> {
        let (query, variables) = mock::request(body);
        if query == INTROSPECTION {
            return Response::new(Body::full(RECORDED));
        }
        let schema = schema();
        let server = Server { schema: &schema, cluster: self.name.as_str(), qualified: false };
        let data = if query.contains("__schema") {
            json!({"__schema": {"types": types()}})
        } else {
            server.answer(&query, &variables)
        };
        let mut answer = json!({"auth": true, "data": data, "errors": null});
        if matches!(*self.mood.lock(), Mood::Complains) {
            answer["errors"] =
                json!([{"message": "m", "locations": [], "path": ["viewer", "namespaces", 0, "events"]}]);
        }
        let text = answer.to_string();
        match *self.mood.lock() {
            Mood::BreaksOff => Response::new(Body::full(text[..text.len() / 2].to_owned())),
            _ => Response::new(Body::full(text)),
        }
    }
}

pub(super) fn types() -> Json {
    json!([
        {"A": "Namespace", "n": "Namespace", "fields": [{"name": "id"}]},
        {"A": "Entity", "n": "Entity", "fields": [{"name": "id"}]},
    ])
}

impl Member for Cluster {
    fn name(&self) -> &ClusterName {
        &self.name
    }

    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(request.body()).into_owned();
            let introspects = text.contains("includeDeprecated:true){name args");
            if !introspects {
                self.got.lock().push(text);
                *self.repeatable.lock() = request.extensions().get::<Repeatable>().is_some();
            }
            let mood = self.mood.lock().clone();
            match mood {
                Mood::Hangs => std::future::pending().await,
                Mood::Slow(seconds) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    Ok(self.reply(request.body()))
                }
                Mood::Fails(failure) => Err(failure),
                Mood::Says(status, text) => {
                    Ok(Response::builder().status(status).body(Body::full(text)).unwrap())
                }
                Mood::Answers | Mood::Complains | Mood::BreaksOff => Ok(self.reply(request.body())),
            }
        })
    }
}

impl Members for All {
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>> {
        self.0.get(name).map(|cluster| Arc::clone(cluster) as Arc<dyn Member>)
    }
}

// === impl World ===

impl World {
    pub(super) fn new() -> Self {
        Self::with_most(256)
    }

    /// One whose fan-outs have at most so many members.
    pub(super) fn with_most(max_members: usize) -> Self {
        let names = ["local-cluster", "alpha", "beta"];
        let cluster = |name: &&str| {
            let name = super::name(name);
            let (mood, got, repeatable) = (Mutex::new(Mood::Answers), Mutex::default(), Mutex::default());
            (name.clone(), Arc::new(Cluster { name, mood, got, repeatable }))
        };
        let config = Config { member_timeout: Duration::from_secs(10), max_members };
        Self {
            engine: Engine::new(config),
            clusters: All(names.iter().map(cluster).collect()),
            snapshot: snapshot(&names),
        }
    }

    pub(super) fn set(&self, cluster: &str, mood: Mood) {
        *self.clusters.0[cluster].mood.lock() = mood;
    }

    /// Bytes that count against the budget.
    pub(super) fn held(&self) -> usize {
        self.engine.memory.held_bytes()
    }

    pub(super) fn got(&self, cluster: &str) -> Vec<String> {
        std::mem::take(&mut self.clusters.0[cluster].got.lock())
    }

    /// Whether the last request that a cluster got may be sent again.
    pub(super) fn was_repeatable(&self, cluster: &str) -> bool {
        *self.clusters.0[cluster].repeatable.lock()
    }

    pub(super) async fn call(
        &self,
        caller: &Caller,
        content: Option<&str>,
        body: &str,
    ) -> Result<Answered, GraphQlError> {
        let mut head = Request::new(());
        *head.method_mut() = http::Method::POST;
        *head.uri_mut() = "/graphql".parse().unwrap();
        if let Some(content) = content {
            head.headers_mut().insert(http::header::CONTENT_TYPE, content.parse().unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = Call { head: &head, body, caller, clusters: &self.clusters, snapshot: &self.snapshot };
        self.engine.handle(call).await
    }

    pub(super) async fn ask_as(
        &self,
        caller: &Caller,
        body: &Json,
    ) -> Result<(Response<()>, Json), GraphQlError> {
        let answered = self.call(caller, Some("application/json"), &body.to_string()).await?;
        let (parts, body) = answered.response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{bytes:?}"));
        Ok((Response::from_parts(parts, ()), json))
    }

    pub(super) async fn ask(&self, text: &str) -> Json {
        self.ask_as(&user("u"), &json!({"query": text})).await.unwrap().1
    }

    pub(super) async fn failure(&self, body: &Json) -> GraphQlError {
        self.ask_as(&user("u"), body).await.unwrap_err()
    }
}

pub(super) fn user(subject: &str) -> Caller {
    let groups = vec!["ops".to_owned()];
    Caller::Token(Arc::new(Principal { subject: subject.to_owned(), groups, expires_at: 0 }))
}

/// What a cluster says, qualified.
pub(super) fn says(cluster: &str, text: &str) -> Json {
    let schema = schema();
    Server { schema: &schema, cluster, qualified: true }.answer(text, &json!({}))
}

pub(super) fn names(answer: &Json) -> Vec<String> {
    let items = answer["data"]["viewer"]["namespaces"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

pub(super) fn listed(clusters: &[&str]) -> Vec<String> {
    let one = |cluster: &&str| names(&json!({"data": says(cluster, SWITCHER)}));
    clusters.iter().flat_map(one).collect()
}

pub(super) const SWITCHER: &str = "{viewer{namespaces{name __typename}}}";
