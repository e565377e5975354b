use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Client, Error,
    connection::Connection,
    duplex::Duplex,
    proto::{LeaseKeepAliveResponse, LeaseRequest},
};

/// Keeps one lease alive, on one stream that ends when this is dropped. Dropping it does not revoke the lease.
///
/// The stream is opened by the first renewal, and again when it, or the client's connection, was lost.
pub struct KeepAlive {
    client: Arc<Client>,
    lease: i64,
    stream: Option<Renewals>,
}

type Renewals = Duplex<LeaseRequest, LeaseKeepAliveResponse>;

// === impl Client ===

impl Client {
    /// Keeps a lease alive, on a stream of its own over the shared connection. Sends nothing yet.
    pub fn keep_alive(self: &Arc<Self>, lease: i64) -> KeepAlive {
        KeepAlive { client: Arc::clone(self), lease, stream: None }
    }
}

// === impl KeepAlive ===

impl KeepAlive {
    /// The lease's ID.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// Renews the lease, within the request timeout, and returns what is left from when etcd did it: count from before
    /// the call. [`Error::LeaseNotFound`]: the lease has ended. May be cancelled, and then may have been done; called
    /// again after any other error.
    pub async fn renew(&mut self) -> Result<Duration, Error> {
        let deadline = self.client.deadline();
        let mut attempts = self.client.endpoints();
        loop {
            let error = match self.once(deadline).await {
                Ok(ttl) => return u64::try_from(ttl).map_or(Err(Error::LeaseNotFound), live),
                Err(error) => error,
            };
            if attempts == 0 || !error.is_endpoint_fault() || Instant::now() >= deadline {
                return Err(error);
            }
            attempts -= 1;
        }
    }

    /// The seconds that etcd grants; 0 when there is no such lease.
    async fn once(&mut self, deadline: Instant) -> Result<i64, Error> {
        let connection = self.client.connection(deadline).await?;
        // Put back only with its answer: that to a renewal which was given up must not pass for the answer to a later
        // one, which would seem to have been renewed later than it was.
        let stream = self.stream.take().filter(|stream| stream.connection().is(&connection));
        let asked = timeout_at(deadline, ask(&connection, stream, LeaseRequest { id: self.lease })).await;
        match asked.unwrap_or_else(|_| Err(connection.timed_out())) {
            Ok((ttl, stream)) => {
                self.stream = Some(stream);
                Ok(ttl)
            }
            Err(error) => {
                if error.is_endpoint_fault() {
                    self.client.discard(&connection);
                }
                Err(error)
            }
        }
    }
}

async fn ask(
    connection: &Connection,
    stream: Option<Renewals>,
    request: LeaseRequest,
) -> Result<(i64, Renewals), Error> {
    let mut stream = match stream {
        Some(mut stream) => {
            stream.send(request)?;
            stream
        }
        None => Duplex::open(connection, "/etcdserverpb.Lease/LeaseKeepAlive", request).await?,
    };
    let answer = stream.answer().await?;
    if answer.id != request.id {
        let reason = "the renewal of a lease was answered with another one".to_owned();
        return Err(Error::Protocol { reason });
    }
    Ok((answer.ttl, stream))
}

fn live(seconds: u64) -> Result<Duration, Error> {
    if seconds == 0 { Err(Error::LeaseNotFound) } else { Ok(Duration::from_secs(seconds)) }
}
