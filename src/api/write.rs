use std::io::ErrorKind;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{
    Api, ApiError, MAX_BODY,
    conditions::{Conditions, etag},
};
use crate::{
    net::in_time,
    registry::{
        Entry, Item, Precondition, StoreError, key_of,
        resource::{Checked, FieldError},
    },
    types::{GivenUp, Kind, Principal, Spec},
    wire::{self, Body},
};

// === impl Api ===

impl Api {
    pub(super) async fn create(
        &self,
        kind: Kind,
        body: &[u8],
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        let checked = self.read(kind, None, body, who).await?;
        let name = &checked.resource.metadata.name;
        let value = Bytes::from(checked.to_json());
        let key = key_of(kind, name);
        match self.within(self.store.put(&key, value.clone(), Precondition::Absent)).await {
            Ok(version) => Ok(self.written(&checked, Entry { key: key.into(), value, version }).await),
            Err(StoreError::Conflict) => Err(ApiError::Exists { kind, name: name.clone() }),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn put(
        &self,
        kind: Kind,
        name: &str,
        headers: &HeaderMap,
        body: &[u8],
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        self.refuse_configured(kind, name)?;
        let checked = self.read(kind, Some(name), body, who).await?;
        let conditions = Conditions::parse(headers)?;
        let value = Bytes::from(checked.to_json());
        let key = key_of(kind, name);
        for _ in 0..ATTEMPTS {
            let current = self.current(&key).await?;
            conditions.check(current.as_ref())?;
            let expected = match current {
                None => Precondition::Absent,
                // Writing what is there already would only wake up every watcher. Nor does it change who made it: two
                // administrators' tools that write the same would overwrite each other for ever.
                Some(current) if is_same(&current, &checked, &value) => {
                    // Another gateway may have written it a moment ago.
                    self.visibility.wait(current.version).await;
                    return Ok(created(&current));
                }
                Some(current) => {
                    let version = current.version;
                    // What cannot be read can be overwritten: there is no other way to repair it.
                    if let Ok(old) = Item::parse(current) {
                        checked.may_replace(&old.checked)?;
                    }
                    Precondition::Version(version)
                }
            };
            match self.within(self.store.put(&key, value.clone(), expected)).await {
                Ok(version) => {
                    return Ok(self.written(&checked, Entry { key: key.into(), value, version }).await);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::Busy)
    }

    pub(super) async fn delete(
        &self,
        kind: Kind,
        name: &str,
        headers: &HeaderMap,
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        self.refuse_configured(kind, name)?;
        let conditions = Conditions::parse(headers)?;
        let key = key_of(kind, name);
        for _ in 0..ATTEMPTS {
            let current = self.current(&key).await?;
            conditions.check(current.as_ref())?;
            let Some(current) = current else {
                return Err(ApiError::not_found(kind, name));
            };
            match self.within(self.store.delete(&key, Precondition::Version(current.version))).await {
                Ok(revision) => {
                    self.visibility.wait(revision.unwrap_or_default()).await;
                    tracing::info!(user = %who.subject, kind = kind.noun(), name, "deleted");
                    return Ok(wire::json(StatusCode::NO_CONTENT, ""));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::Busy)
    }

    /// Gives up what a deleted replicator has left where it cannot be removed. Never what deleting it once does: clients and
    /// proxies send a request again whose answer they have not seen.
    pub(super) async fn abandon(
        &self,
        kind: Kind,
        name: &str,
        headers: &HeaderMap,
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        let current = self.current(&key_of(kind, name)).await?;
        Conditions::parse(headers)?.check(current.as_ref())?;
        if current.is_some() {
            return Err(ApiError::NotDeleted { kind, name: name.to_owned() });
        }
        match (self.give_up)(kind, name) {
            GivenUp::Begun => {
                tracing::warn!(user = %who.subject, kind = kind.noun(), name, "what a deleted replicator owns elsewhere is given up");
                Ok(wire::json(StatusCode::NO_CONTENT, ""))
            }
            GivenUp::NotStuck => Err(ApiError::NotStuck { kind, name: name.to_owned() }),
            GivenUp::Unknown => Err(ApiError::not_found(kind, name)),
            GivenUp::Busy => Err(ApiError::Busy),
        }
    }

    pub(super) fn refuse_configured(&self, kind: Kind, name: &str) -> Result<(), ApiError> {
        match self.view().from_config(name) {
            Some(cluster) if kind == Kind::Cluster => {
                Err(ApiError::Configured { name: name.to_owned(), local: cluster.name.is_local() })
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn read(
        &self,
        kind: Kind,
        name: Option<&str>,
        body: &[u8],
        who: &Principal,
    ) -> Result<Checked, ApiError> {
        if body.len() > MAX_BODY {
            return Err(ApiError::TooLarge);
        }
        if kind == Kind::Replicator && self.policies.is_none() {
            return Err(ApiError::NoPrivateKey);
        }
        let mut checked = Checked::parse(kind, name, body)?;
        checked.resource.metadata.created_by.clone_from(&who.subject);
        let readable = self.readable;
        for (field, path) in checked.spec.files() {
            let path = path.to_owned();
            let why = match in_time(move || readable(&path)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) if error.kind() == ErrorKind::NotFound => "no such file".to_owned(),
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => "not a regular file".to_owned(),
                // The system's own words may hold what the caller must not see.
                Ok(Err(error)) if error.get_ref().is_none() => error.kind().to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(timeout) => timeout.to_string(),
            };
            let what = format!("cannot be read on the gateway: {why}");
            return Err(FieldError { field: field.to_owned(), what }.into());
        }
        Ok(checked)
    }

    async fn written(&self, checked: &Checked, entry: Entry) -> Response<Body> {
        self.visibility.wait(entry.version).await;
        let resource = &checked.resource;
        let (kind, name) = (resource.kind.noun(), &resource.metadata.name);
        tracing::info!(user = %resource.metadata.created_by, kind, name, version = entry.version, "written");
        if let Spec::Cluster(spec) = &checked.spec
            && spec.backends.iter().any(|backend| !backend.tls)
        {
            tracing::warn!(
                kind,
                name,
                "a cluster is reached over plain HTTP: anyone on the path can read the tokens"
            );
        }
        created(&entry)
    }
}

/// Whether a deletion is about what a deleted replicator has left. Of several values the first counts, as in lists.
pub(super) fn asks_to_give_up(kind: Kind, query: Option<&str>) -> Result<bool, ApiError> {
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    match pairs.into_iter().find(|(key, _)| *key == GIVE_UP) {
        None | Some((_, "false")) => Ok(false),
        Some((_, "true")) if kind != Kind::Cluster => Ok(true),
        // A misspelt one must not delete anything.
        Some(_) => Err(ApiError::Page(GIVE_UP)),
    }
}

/// Whether an entry already holds what a write would store, regardless of its author.
fn is_same(current: &Entry, wanted: &Checked, value: &Bytes) -> bool {
    let says_so = |old: Item| {
        let mut wanted = wanted.clone();
        wanted.resource.metadata.created_by = old.checked.resource.metadata.created_by;
        wanted.to_json() == current.value
    };
    current.value == value || Item::parse(current.clone()).is_ok_and(says_so)
}

/// Sensu's answer to every write: 201 without a body, whether it was there before or not.
fn created(entry: &Entry) -> Response<Body> {
    let mut response = wire::json(StatusCode::CREATED, "");
    let tag: HeaderValue = etag(entry);
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// The query parameter of a deletion that gives up what is left.
const GIVE_UP: &str = "give_up";

/// How often a write is tried against others that write the same resource.
const ATTEMPTS: usize = 64;
