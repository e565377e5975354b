use tonic::Code;

use super::{
    Error,
    connection::Connection,
    duplex::Duplex,
    proto::{WatchCreateRequest, WatchRequest, WatchResponse},
};

/// An open watch. Dropping it ends the watch at etcd too.
///
/// It never reconnects: [`Mirror`](super::Mirror) does. A dead peer is noticed by the connection's keep-alive; a member
/// without a leader says so.
pub struct WatchStream {
    stream: Duplex<WatchRequest, WatchResponse>,
}

// === impl WatchStream ===

impl WatchStream {
    /// Opens a watch and waits until etcd says that it is open.
    pub(super) async fn open(connection: &Connection, request: WatchCreateRequest) -> Result<Self, Error> {
        let create = WatchRequest { create_request: Some(request.clone()) };
        let stream = Duplex::open(connection, "/etcdserverpb.Watch/Watch", create).await;
        let mut watch = Self { stream: stream.map_err(|error| error.needing(&request))? };
        let first = watch.message().await.map_err(|error| error.needing(&request))?;
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
        let message = self.stream.answer().await?;
        if message.compact_revision != 0 {
            return Err(Error::Compacted { oldest: Some(message.compact_revision) });
        }
        if message.canceled {
            // The reason is a status in words; one that is not recognized is worth another attempt.
            let endpoint = self.stream.connection().endpoint().clone();
            return Err(Error::from_text(endpoint, Code::Unavailable, &message.cancel_reason));
        }
        Ok(message)
    }
}
