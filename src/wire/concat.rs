use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Body;
use crate::error::BoxError;

/// Several bodies, one after the other. Nothing is copied.
#[derive(Debug, Default)]
pub struct ConcatBody {
    parts: VecDeque<Body>,
}

// === impl ConcatBody ===

impl ConcatBody {
    /// All of it as one body: the bytes in one piece when all are in memory.
    pub fn into_body(mut self) -> Body {
        if self.parts.len() <= 1 {
            return self.parts.pop_front().unwrap_or_default();
        }
        let pieces: Option<Vec<&[u8]>> = self.parts.iter().map(Body::as_full).collect();
        match pieces.map(|pieces| pieces.concat()) {
            Some(whole) => Body::full(whole),
            None => Body::boxed(self),
        }
    }
}

impl FromIterator<Body> for ConcatBody {
    fn from_iter<I: IntoIterator<Item = Body>>(parts: I) -> Self {
        Self { parts: parts.into_iter().filter(|part| !part.is_end_stream()).collect() }
    }
}

impl HttpBody for ConcatBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while let Some(part) = self.parts.front_mut() {
            let frame = ready!(Pin::new(&mut *part).poll_frame(cx));
            if frame.is_none() || part.is_end_stream() {
                self.parts.pop_front();
            }
            if frame.is_some() {
                return Poll::Ready(frame);
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    /// Exact when the length of every part is known.
    fn size_hint(&self) -> SizeHint {
        let mut sum = SizeHint::with_exact(0);
        for part in self.parts.iter().map(Body::size_hint) {
            let upper = sum.upper().zip(part.upper()).map(|(sum, part)| sum.saturating_add(part));
            let lower = sum.lower().saturating_add(part.lower());
            sum = SizeHint::new();
            sum.set_lower(lower);
            if let Some(upper) = upper {
                sum.set_upper(upper);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn stream(pieces: &[&'static str]) -> Body {
        let frames: Vec<Result<_, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Body::boxed(StreamBody::new(futures::stream::iter(frames)))
    }

    #[tokio::test]
    async fn parts_follow_each_other() {
        let parts = [Body::full("["), stream(&["a", "b"]), Body::empty(), stream(&[]), Body::full("]")];
        let body = ConcatBody::from_iter(parts).into_body();
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "[ab]");
    }

    #[tokio::test]
    async fn the_length_of_parts_in_memory_is_known() {
        let mut body: ConcatBody = ["[", "a", "]"].map(Body::full).into_iter().collect();
        assert_eq!(body.size_hint().exact(), Some(3));
        body.frame().await.unwrap().unwrap();
        assert_eq!(body.size_hint().exact(), Some(2));
        assert!(!body.is_end_stream());
        assert_eq!(body.into_body().as_full(), Some(&b"a]"[..]));
        assert_eq!(ConcatBody::default().into_body().as_full(), Some(&b""[..]));
    }
}
