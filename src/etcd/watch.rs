use futures::{StreamExt as _, stream};
use tonic::{Code, Streaming};

use super::{
    Error,
    connection::Connection,
    proto::{WatchCreateRequest, WatchRequest, WatchResponse},
};

/// An open watch. Dropping it ends the watch at etcd too.
///
/// It never reconnects: [`Mirror`](super::Mirror) does. A dead peer is noticed by the connection's keep-alive; a member
/// without a leader says so.
pub struct WatchStream {
    connection: Connection,
    messages: Streaming<WatchResponse>,
}

// === impl WatchStream ===

impl WatchStream {
    /// Opens a watch and waits until etcd says that it is open.
    pub(super) async fn open(connection: &Connection, request: WatchCreateRequest) -> Result<Self, Error> {
        let create = WatchRequest { create_request: Some(request) };
        // The end of this stream would be the end of the watch.
        let requests = stream::iter([create]).chain(stream::pending());
        let messages = connection.streaming("/etcdserverpb.Watch/Watch", requests).await?;
        let mut watch = Self { connection: connection.clone(), messages };
        let first = watch.message().await?;
        if first.created {
            Ok(watch)
        } else {
            let reason = "a watch did not begin with its creation".to_owned();
            Err(Error::Protocol { reason })
        }
    }

    /// The next message. May be cancelled without loss. [`Error::Compacted`] when the start revision is forgotten;
    /// [`Error::Disconnected`] when the stream ends, cleanly or not. After an error the watch is over.
    pub async fn message(&mut self) -> Result<WatchResponse, Error> {
        let message = self.messages.message().await.map_err(|status| self.connection.failure(&status))?;
        let endpoint = self.connection.endpoint();
        match message {
            None => Err(Error::Disconnected { endpoint: endpoint.clone(), source: None }),
            Some(message) if message.compact_revision != 0 => {
                Err(Error::Compacted { oldest: Some(message.compact_revision) })
            }
            Some(message) if message.canceled => {
                // The reason is a status in words; one that is not recognized is worth another attempt.
                Err(Error::from_text(endpoint.clone(), Code::Unavailable, &message.cancel_reason))
            }
            Some(message) => Ok(message),
        }
    }
}
