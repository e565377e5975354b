//! A call with a stream in each direction.

use futures::channel::mpsc;
use tonic::Streaming;

use super::{Error, connection::Connection};

/// An open call with a stream in each direction. It ends at etcd when this is dropped, and keeps its connection open
/// until then.
///
/// HTTP/2 ends a stream only when nothing holds either direction. hyper holds the requests' until they end, which those
/// of an endless stream never do: that is why they come from a channel whose sender is here.
pub(super) struct Duplex<Q, A> {
    connection: Connection,
    requests: mpsc::Sender<Q>,
    answers: Streaming<A>,
}

// === impl Duplex ===

impl<Q, A> Duplex<Q, A>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    /// Opens the call with its first request: etcd begins its answer only then.
    pub(super) async fn open(connection: &Connection, path: &'static str, first: Q) -> Result<Self, Error> {
        let (mut requests, queue) = mpsc::channel(WAITING);
        // A new channel has room.
        let _ = requests.try_send(first);
        let answers = connection.streaming(path, queue).await?;
        Ok(Self { connection: connection.clone(), requests, answers })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends another request. It must wait for the answer to the one before.
    pub(super) fn send(&mut self, request: Q) -> Result<(), Error> {
        self.requests.try_send(request).map_err(|_| self.ended())
    }

    /// The next answer. May be cancelled without loss. [`Error::Disconnected`] when the stream ends, cleanly or not.
    pub(super) async fn answer(&mut self) -> Result<A, Error> {
        let answer = self.answers.message().await.map_err(|status| self.connection.failure(&status))?;
        answer.ok_or_else(|| self.ended())
    }

    fn ended(&self) -> Error {
        Error::Disconnected { endpoint: self.connection.endpoint().clone(), source: None }
    }
}

/// Requests that may wait to be sent.
const WAITING: usize = 1;
