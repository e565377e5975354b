use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::upstream_call::Edited;
use crate::error::BoxError;

/// A response body of several parts, one after the other.
pub(super) struct Joined {
    parts: VecDeque<Part>,
}

/// A part of a body.
pub(super) enum Part {
    Bytes(Bytes),
    /// Boxed: it is much larger than the other.
    Stream(Box<Edited>),
}

// === impl Joined ===

impl Joined {
    pub(super) fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let empty = |part: &Part| matches!(part, Part::Bytes(bytes) if bytes.is_empty());
        Self { parts: parts.into_iter().filter(|part| !empty(part)).collect() }
    }

    /// All of it, when nothing streams.
    pub(super) fn full(&mut self) -> Option<Bytes> {
        let mut whole = Vec::new();
        for part in &self.parts {
            let Part::Bytes(bytes) = part else { return None };
            whole.push(bytes.clone());
        }
        match whole.as_slice() {
            [only] => Some(only.clone()),
            several => Some(several.concat().into()),
        }
    }
}

impl Body for Joined {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match self.parts.front_mut() {
                None => return Poll::Ready(None),
                Some(Part::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    self.parts.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Part::Stream(body)) => match std::task::ready!(Pin::new(&mut **body).poll_frame(cx)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => self.parts.pop_front(),
                },
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
