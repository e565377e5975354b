//! Content codings: which of them a client accepts, and bodies in them.

use std::{convert::Infallible, future::ready};

use futures::FutureExt as _;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use tower::{Service as _, service_fn};
use tower_http::{CompressionLevel, compression::Compression};

use super::Body;

/// A coding that bodies can be put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

/// What a client accepts (RFC 9110 §12.5.3). What cannot be read of it counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// In the order of [`Coding::ALL`], in thousandths.
    weights: [u16; 3],
    /// The weight of a body without any coding, if the client says it.
    plain: Option<u16>,
}

// === impl Coding ===

impl Coding {
    /// The one that saves most for its cost comes first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Bytes that a body holds while it is put into this coding, whatever its length: measured, and rounded up.
    pub const fn working_bytes(self) -> usize {
        match self {
            Self::Zstd | Self::Brotli => 1 << 20,
            Self::Gzip => 768 << 10,
        }
    }

    /// The answer with its body in this coding, which the headers then say.
    ///
    /// It ends and fails as the plain one does. Before it waits for the plain one, it hands on all that has come of it.
    ///
    /// # Panics
    /// Never: the answer is there already.
    pub fn stream(self, response: Response<Body>) -> Response<Body> {
        // One for all: what a higher one saves is little, and costs several times the time, and with Brotli the memory.
        let level = CompressionLevel::Precise(1);
        // The coder asks for trailers after the end, which not every body bears.
        let mut plain = Some(response.map(|body| Body::boxed(body.fuse())));
        let answer = service_fn(move |_| ready(Ok::<_, Infallible>(plain.take().unwrap_or_default())));
        let mut request = Request::new(());
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(self.as_str()));
        // Whether it is worth it was decided by who knows more.
        let always = |_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true;
        let mut compression = Compression::new(answer).quality(level).compress_when(always);
        let answered = compression.call(request).now_or_never().expect("the answer is there already");
        match answered {
            Ok(response) => response.map(Body::boxed),
            Err(never) => match never {},
        }
    }
}

// === impl Accepted ===

impl Accepted {
    /// What a request's headers say.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let items = lines.flat_map(|line| line.split(',')).take(MAX_ITEMS).filter_map(weighed);
        let items: Vec<(&str, u16)> = items.collect();
        let named = |names: &[&str]| {
            let is_it = |item: &&(&str, u16)| names.iter().any(|name| item.0.eq_ignore_ascii_case(name));
            items.iter().find(is_it).map(|(_, weight)| *weight)
        };
        let others = named(&["*"]);
        let weight = |names: &[&str]| named(names).or(others).unwrap_or(0);
        let weights = Coding::ALL.map(|coding| match coding {
            Coding::Gzip => weight(&["gzip", "x-gzip"]),
            Coding::Zstd | Coding::Brotli => weight(&[coding.as_str()]),
        });
        // The star speaks of it only to forbid it: it is no wish for a plain body.
        let plain = named(&["identity"]).or(others.filter(|weight| *weight == 0));
        Self { weights, plain }
    }

    /// Whether a body in this coding may be sent, or a plain one.
    pub fn takes(&self, coding: Option<Coding>) -> bool {
        match coding {
            Some(coding) => self.weight(coding) > 0,
            None => self.plain != Some(0),
        }
    }

    /// The one that the client weighs most, and of several the first; `None` when it would rather have none of them.
    pub fn best(&self, of: impl IntoIterator<Item = Coding>) -> Option<Coding> {
        let mut best = None;
        // A coding that weighs as much as a plain body is taken: it is smaller.
        let mut least = self.plain.unwrap_or(0).max(1);
        for coding in of {
            let weight = self.weight(coding);
            if weight >= least {
                best = Some(coding);
                least = weight + 1;
            }
        }
        best
    }

    fn weight(&self, coding: Coding) -> u16 {
        self.weights[coding as usize]
    }
}

/// Whether bodies of a media type get smaller: images, fonts and archives are compressed in themselves. Streams of events
/// do, but some of those who pass them on wait for more of a coding than one event.
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (essence.starts_with("text/") && essence != "text/event-stream")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || COMPRESSIBLE.contains(&&*essence)
}

/// A coding and its weight in thousandths.
fn weighed(item: &str) -> Option<(&str, u16)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next()?;
    let weight = parts.find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim_end().eq_ignore_ascii_case("q").then(|| value.trim_start())
    });
    Some((name, weight.map_or(Some(1000), thousandths)?))
}

/// Three digits after the point at most, as the grammar of weights has it.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// More than there are codings; what follows is not looked at.
const MAX_ITEMS: usize = 32;

const COMPRESSIBLE: [&str; 7] = [
    "application/javascript",
    "application/json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "font/otf",
    "font/ttf",
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use tokio::sync::mpsc;
    use tower_http::decompression::Decompression;

    use super::*;
    use crate::error::BoxError;

    fn accepted(value: &str) -> Accepted {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        Accepted::of(&headers)
    }

    /// As a client undoes it.
    fn plain(response: Response<Body>) -> Body {
        let mut response = Some(response);
        let coded = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap())));
        let answered = Decompression::new(coded).call(Request::new(())).now_or_never().unwrap();
        Body::boxed(answered.unwrap().into_body())
    }

    #[test]
    fn the_coding_that_the_client_weighs_most_is_chosen() {
        use Coding::{Brotli, Gzip, Zstd};

        for (value, coding) in [
            ("", None),
            ("identity", None),
            ("gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("gzip; Q=0.8 , br;q=0.801", Some(Brotli)),
            ("br;level=5;q=0.2, gzip;q=0.1", Some(Brotli)),
            ("gzip;q=0, *", Some(Zstd)),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0.5", Some(Zstd)),
            ("gzip;q=0.5, identity", None),
            ("gzip, identity", Some(Gzip)),
            ("gzip;q=0.5, identity;q=0.4", Some(Gzip)),
            ("gzip;q=0.001, identity;q=0", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=1.5", None),
            ("gzip;q=much", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=", None),
            ("deflate", None),
            ("brr, xgzip", None),
        ] {
            assert_eq!(accepted(value).best(Coding::ALL), coding, "{value}");
        }
        assert_eq!(accepted("gzip, br, zstd").best([Gzip, Zstd]), Some(Gzip), "the first of those there are");
        let mut lines = HeaderMap::new();
        lines.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5"));
        lines.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(Accepted::of(&lines).best(Coding::ALL), Some(Brotli));
    }

    #[test]
    fn a_plain_body_is_forbidden_only_in_so_many_words() {
        for (value, takes) in [
            ("", true),
            ("gzip", true),
            ("gzip, *", true),
            ("identity;q=0.1", true),
            ("identity;q=0", false),
            ("gzip, *;q=0", false),
            ("identity, *;q=0", true),
        ] {
            assert_eq!(accepted(value).takes(None), takes, "{value}");
        }
        assert!(Accepted::of(&HeaderMap::new()).takes(None));
        assert!(!Accepted::of(&HeaderMap::new()).takes(Some(Coding::Gzip)));
    }

    #[tokio::test]
    async fn what_has_come_is_handed_on_before_it_waits() {
        for coding in Coding::ALL {
            let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
            let stream = futures::stream::poll_fn(move |cx| {
                receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))))
            });
            let coded = coding.stream(Response::new(Body::boxed(StreamBody::new(stream))));
            assert_eq!(coded.headers()[header::CONTENT_ENCODING], coding.as_str());
            let mut client = plain(coded);
            for part in [Bytes::from_static(b"{\"name\":\"a\"},"), vec![b'x'; 300_000].into()] {
                sender.send(part.clone()).await.unwrap();
                let mut got = Vec::new();
                while got.len() < part.len() {
                    // The cluster sends nothing more until the client has all of this.
                    let frame = client.frame().now_or_never().unwrap().unwrap().unwrap();
                    got.extend_from_slice(&frame.into_data().unwrap());
                }
                assert!(got == part, "{coding:?}");
                assert!(client.frame().now_or_never().is_none(), "{coding:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_not_asked_again_after_its_end() {
        for coding in Coding::ALL {
            let mut frames = vec![Some(vec![b'x'; 5000].into()), None].into_iter();
            let stream = futures::stream::poll_fn(move |_| {
                let frame: Option<Bytes> = frames.next().expect("nobody asks after the end");
                std::task::Poll::Ready(frame.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))))
            });
            let client = plain(coding.stream(Response::new(Body::boxed(StreamBody::new(stream)))));
            assert_eq!(client.collect().await.unwrap().to_bytes().len(), 5000, "{coding:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_breaks_off() {
        for coding in Coding::ALL {
            for before in [0, 5000] {
                let whole = (before > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; before]))));
                let frames: Vec<_> = whole.into_iter().chain([Err(BoxError::from("cut"))]).collect();
                let body = Body::boxed(StreamBody::new(futures::stream::iter(frames)));
                let coded = coding.stream(Response::new(body));
                let error = coded.into_body().collect().await.unwrap_err();
                assert_eq!(error.to_string(), "cut", "{coding:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[ -~]{0,60}") {
            accepted(&value).best(Coding::ALL);
        }

        #[test]
        fn what_is_chosen_is_taken(
            value in "((gzip|br|zstd|identity|\\*)(;q=(0|1|0\\.[0-9]{1,3}))?, ?){0,5}",
        ) {
            let accepted = accepted(&value);
            if let Some(best) = accepted.best(Coding::ALL) {
                prop_assert!(accepted.takes(Some(best)));
                prop_assert!(Coding::ALL.iter().all(|other| accepted.weight(*other) <= accepted.weight(best)));
            }
        }

        #[test]
        fn any_pieces_come_out_as_they_went_in(
            pieces in proptest::collection::vec("[a-c]{0,300}", 0..6),
            coding in (0..3usize).prop_map(|it| Coding::ALL[it]),
        ) {
            let frames: Vec<_> = pieces.iter().cloned().map(|it| Ok::<_, BoxError>(Frame::data(Bytes::from(it)))).collect();
            let body = Body::boxed(StreamBody::new(futures::stream::iter(frames)));
            let client = plain(coding.stream(Response::new(body)));
            let whole = client.collect().now_or_never().unwrap().unwrap().to_bytes();
            prop_assert_eq!(whole, pieces.concat().into_bytes());
        }
    }
}
