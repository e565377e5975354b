use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::Merge;
use crate::{telemetry::trace, types::FailureClass, wire::Body};

/// A list whose members still flow. A task of its own reads on while the client blocks: a Sensu backend cuts any
/// answer that is not read within 15 s. It ends with this stream.
struct Chunks {
    messages: mpsc::Receiver<Message>,
    task: JoinHandle<()>,
}

/// What the reading task sends. Without an `End` the list is not complete, whatever ended the task.
enum Message {
    Bytes(Bytes),
    Cut(FailureClass),
    End,
}

/// A member failed after the head of the answer had been sent, so the connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("a cluster failed in the middle of its list: {}", .0.as_str())]
struct Cut(FailureClass);

/// Streams what is left of a merge.
pub(super) fn body(merge: Merge) -> Body {
    let (sender, messages) = mpsc::channel(CHANNEL);
    let task = tokio::spawn(trace::within(trace::current(), run(merge, sender)));
    Body::boxed(StreamBody::new(Chunks { messages, task }))
}

// === impl Chunks ===

impl Stream for Chunks {
    type Item = Result<Frame<Bytes>, Cut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(cx).map(|message| match message {
            Some(Message::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Message::End) => None,
            Some(Message::Cut(failure)) => Some(Err(Cut(failure))),
            None => Some(Err(Cut(FailureClass::BadBody))),
        })
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends the members in order, and reads ahead of the client as far as the bounds allow.
async fn run(mut merge: Merge, sender: mpsc::Sender<Message>) {
    let mut writer = Writer { opened: false, in_member: false };
    let mut current = 0;
    let mut client_deadline = Instant::now() + CLIENT_TIMEOUT;
    while current < merge.slots.len() {
        if let Some(failure) = merge.any_failed() {
            let _ = sender.send(Message::Cut(failure)).await;
            return;
        }
        let slot = &merge.slots[current];
        if slot.buffered() == 0 && (slot.is_complete() || slot.is_failed()) {
            writer.in_member = false;
            current += 1;
            if current < merge.slots.len() {
                let room = merge.room(merge.ticket.exhausted());
                merge.read_on(current, room);
            }
            continue;
        }
        let ready = slot.buffered() > 0;
        if !ready {
            // The client waits for us, not we for it.
            client_deadline = Instant::now() + CLIENT_TIMEOUT;
        }
        tokio::select! {
            biased;
            Some(event) = merge.steps.next() => merge.on_event(event),
            permit = tokio::time::timeout_at(client_deadline, sender.reserve()), if ready => {
                // The client has read nothing for too long, or has left.
                let Ok(Ok(permit)) = permit else { return };
                client_deadline = Instant::now() + CLIENT_TIMEOUT;
                if let Some(bytes) = merge.slots[current].dequeue() {
                    merge.ticket.release(bytes.len());
                    writer.write(permit, bytes);
                    merge.refill();
                }
            }
            else => return,
        }
    }
    let end: &'static [u8] = if writer.opened { b"]" } else { b"[]" };
    let _ = sender.send(Message::Bytes(Bytes::from_static(end))).await;
    let _ = sender.send(Message::End).await;
}

impl Merge {
    /// Reads on wherever the bytes that just left have made room.
    fn refill(&mut self) {
        let room = self.room(self.ticket.exhausted());
        for index in 0..self.slots.len() {
            self.read_on(index, room);
        }
    }
}

/// Where the output stands between brackets and commas.
struct Writer {
    opened: bool,
    in_member: bool,
}

impl Writer {
    fn write(&mut self, permit: mpsc::Permit<'_, Message>, bytes: Bytes) {
        let lead: &[u8] = match (self.opened, self.in_member) {
            (false, _) => b"[",
            (true, false) => b",",
            (true, true) => b"",
        };
        self.opened = true;
        self.in_member = true;
        if lead.is_empty() {
            permit.send(Message::Bytes(bytes));
            return;
        }
        // Once per member: one copy is cheaper than a frame of one byte.
        let mut joined = Vec::with_capacity(lead.len() + bytes.len());
        joined.extend_from_slice(lead);
        joined.extend_from_slice(&bytes);
        permit.send(Message::Bytes(joined.into()));
    }
}

/// How long a client may read nothing before its list is dropped: others need the memory.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Chunks between the reading task and the client's connection.
const CHANNEL: usize = 2;
