use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};

use super::Body;
use crate::error::BoxError;

/// An edit of a byte stream, chunk by chunk.
pub trait Transform {
    /// Why the stream cannot be edited.
    type Error: Into<BoxError>;

    /// Reads a chunk and appends what becomes of it to `out`.
    ///
    /// # Errors
    /// When the stream is not what it should be.
    fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Self::Error>;

    /// Ends the stream; appends what was kept back.
    ///
    /// # Errors
    /// When the stream ended too early.
    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Self::Error>;
}

/// A body that is edited while it streams, or passed on as it is.
///
/// One that turns out not to be what it should be is cut: what has been sent cannot be taken back, and what has not would be
/// wrong.
#[derive(Debug)]
pub struct TransformBody<T> {
    body: Body,
    /// `None` passes every frame on.
    transform: Option<T>,
    ended: bool,
}

// === impl TransformBody ===

impl<T> TransformBody<T> {
    /// Edits a body.
    pub fn new(body: Body, transform: T) -> Self {
        Self { body, transform: Some(transform), ended: false }
    }

    /// Leaves a body as it is.
    pub fn unchanged(body: Body) -> Self {
        Self { body, transform: None, ended: false }
    }
}

impl<T: Transform + Unpin> HttpBody for TransformBody<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
            let Some(transform) = &mut this.transform else {
                this.ended = frame.is_none() || this.body.is_end_stream();
                return Poll::Ready(frame);
            };
            let mut out = BytesMut::new();
            if let Some(frame) = frame {
                let Ok(data) = frame?.into_data() else { continue };
                transform.push(&data, &mut out).map_err(Into::into)?;
                // Known lengths end with their last frame, and the end goes out with it.
                this.ended = this.body.is_end_stream();
            } else {
                this.ended = true;
            }
            if this.ended {
                transform.finish(&mut out).map_err(Into::into)?;
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.freeze()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// Doubles every byte, and puts a dot at the end.
    struct Double;

    impl Transform for Double {
        type Error = BoxError;

        fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
            if chunk.contains(&b'!') {
                return Err("a shout".into());
            }
            out.extend(chunk.iter().flat_map(|byte| [*byte, *byte]));
            Ok(())
        }

        fn finish(&mut self, out: &mut BytesMut) -> Result<(), BoxError> {
            out.extend_from_slice(b".");
            Ok(())
        }
    }

    fn pieces(pieces: &[&'static str]) -> Body {
        let frames: Vec<Result<_, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Body::boxed(StreamBody::new(futures::stream::iter(frames)))
    }

    async fn text(body: TransformBody<Double>) -> Result<String, BoxError> {
        Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec())?)
    }

    #[tokio::test]
    async fn every_chunk_is_edited_and_the_end_is_written() {
        assert_eq!(text(TransformBody::new(pieces(&["ab", "", "c"]), Double)).await.unwrap(), "aabbcc.");
        assert_eq!(text(TransformBody::new(Body::full("a"), Double)).await.unwrap(), "aa.");
        assert_eq!(text(TransformBody::unchanged(pieces(&["ab", "c"]))).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_body_of_known_length_ends_with_its_last_frame() {
        let mut body = TransformBody::new(Body::full("a"), Double);
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "aa.");
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_edited_is_cut() {
        assert!(text(TransformBody::new(pieces(&["ab", "!"]), Double)).await.is_err());
    }
}
