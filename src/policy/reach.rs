use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{HeaderValue, Request, header};

use super::{
    client::{Answer, MAX_BODY, Reach},
    object::OUR_GROUP,
};
use crate::{
    authz::Minter,
    error::Chain,
    upstream::Manager,
    wire::{header::add_via, read_limited},
};

/// The registered clusters, over the gateway's own connections, with short-lived tokens.
///
/// Each request carries a token of group `cluster-admins`. Where a cluster is reached over plain HTTP or without verifying
/// its certificate, anyone on the network path can use it on every cluster.
pub struct Clusters {
    manager: Manager,
    minter: Minter,
}

// === impl Clusters ===

impl Clusters {
    /// `manager` must follow the registry.
    pub fn new(manager: Manager, minter: Minter) -> Self {
        Self { manager, minter }
    }

    async fn exchange(
        &self,
        cluster: &str,
        subject: &str,
        mut request: Request<Bytes>,
    ) -> Result<Answer, String> {
        let client = self.manager.cluster(cluster).ok_or("it is not registered")?;
        let backend = client.cluster().backends.first().ok_or("it has no backend")?;
        let host = HeaderValue::try_from(backend.authority()).map_err(|_| "its URL makes no host")?;
        let token =
            self.minter.bearer(subject, &[OUR_GROUP.to_owned()]).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::AUTHORIZATION, token);
        add_via(request.headers_mut());
        let response = client.send(request).await.map_err(|error| Chain(&error).to_string())?;
        let (head, body) = response.into_parts();
        let body = read_limited(body, MAX_BODY).await.map_err(|error| Chain(&error).to_string())?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Reach for Clusters {
    fn send<'a>(
        &'a self,
        cluster: &'a str,
        subject: &'a str,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        self.exchange(cluster, subject, request).boxed()
    }
}
