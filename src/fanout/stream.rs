use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http_body::{Body, Frame, SizeHint};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::Merge;
use crate::{error::BoxError, types::FailureClass};

/// A list that is all there.
///
/// It is short, so it is not counted any more: a client that does not take it holds no more than any other answer.
pub(super) struct Chunks {
    waiting: VecDeque<Bytes>,
    left: u64,
}

/// A list whose members still flow. A task of its own reads on while the client blocks: a Sensu backend cuts any
/// answer that is not read within 15 s. It ends with this body.
pub(super) struct Stream {
    chunks: mpsc::Receiver<Message>,
    task: JoinHandle<()>,
}

/// What the reading task says. Without an `End` the list is not whole, whatever ended the task.
enum Message {
    Bytes(Bytes),
    Cut(FailureClass),
    End,
}

/// A member failed after the head of the answer had gone out, so the connection was cut.
#[derive(Debug, thiserror::Error)]
#[error("a cluster failed in the middle of its list: {}", .0.as_str())]
struct Cut(FailureClass);

// === impl Chunks ===

impl Chunks {
    pub(super) fn new(waiting: VecDeque<Bytes>) -> Self {
        let left = waiting.iter().map(|chunk| chunk.len() as u64).sum();
        Self { waiting, left }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(chunk) = self.waiting.pop_front() else { return Poll::Ready(None) };
        self.left -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn spawn(merge: Merge) -> Self {
        let (sender, chunks) = mpsc::channel(CHANNEL);
        let task = tokio::spawn(run(merge, sender));
        Self { chunks, task }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.chunks.poll_recv(cx).map(|message| match message {
            Some(Message::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Message::End) => None,
            Some(Message::Cut(failure)) => Some(Err(Cut(failure).into())),
            None => Some(Err(Cut(FailureClass::BadBody).into())),
        })
    }
}

impl Drop for Stream {
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
                // Nobody has taken anything for too long, or the client has left.
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

/// How long a client may take nothing before its list is given up: what it holds is missing to others.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Chunks between the reading task and the client's connection.
const CHANNEL: usize = 2;
