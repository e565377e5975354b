use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{FutureExt as _, Map};
use http::{HeaderValue, Request, Response, header::STRICT_TRANSPORT_SECURITY};
use tower::{Layer, Service};

use crate::{types::ConnInfo, wire::Body};

/// Tells browsers to use TLS only for some time (RFC 6797), on connections that do.
#[derive(Clone, Debug)]
pub(super) struct HstsLayer(HeaderValue);

/// The service of [`HstsLayer`].
#[derive(Clone, Debug)]
pub(super) struct Hsts<S> {
    inner: S,
    value: HeaderValue,
}

// === impl HstsLayer ===

impl HstsLayer {
    /// `max_age` counts from each answer on.
    pub(super) fn new(max_age: Duration) -> Self {
        let value = HeaderValue::from_str(&format!("max-age={}", max_age.as_secs()));
        Self(value.expect("digits are valid in a header"))
    }
}

impl<S> Layer<S> for HstsLayer {
    type Service = Hsts<S>;

    fn layer(&self, inner: S) -> Hsts<S> {
        Hsts { inner, value: self.0.clone() }
    }
}

// === impl Hsts ===

type Answer = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Hsts<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Map<S::Future, Box<dyn FnOnce(Answer) -> Answer + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // RFC 6797 7.2: never over plain HTTP, where anybody in the way could have written it.
        let secure = request.extensions().get::<ConnInfo>().is_some_and(|connection| connection.tls);
        let value = secure.then(|| self.value.clone());
        let add = move |answer: Answer| {
            answer.map(|mut response| {
                if let Some(value) = value {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
                }
                response
            })
        };
        self.inner.call(request).map(Box::new(add))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tower::service_fn;

    use super::*;

    fn header(connection: Option<bool>) -> Option<HeaderValue> {
        let mut request = Request::new(Body::empty());
        if let Some(tls) = connection {
            request.extensions_mut().insert(ConnInfo::new(([127, 0, 0, 1], 1).into(), tls));
        }
        let inner = service_fn(|_| std::future::ready(Ok(Response::new(Body::empty()))));
        let layer = HstsLayer::new(Duration::from_secs(60));
        let answer = layer.layer(inner).call(request).now_or_never().unwrap().unwrap();
        answer.headers().get(STRICT_TRANSPORT_SECURITY).cloned()
    }

    #[test]
    fn only_answers_over_tls_say_it() {
        assert_eq!(header(Some(true)).unwrap(), "max-age=60");
        assert_eq!(header(Some(false)), None);
        assert_eq!(header(None), None);
    }
}
