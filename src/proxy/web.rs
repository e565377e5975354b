use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::{Gateway, slow_client::SlowClientBody};
use crate::{
    error::{BoxError, Classify, ErrorKind},
    routing::RouteError,
    types::AuthScope,
    webui,
    wire::Body,
};

// === impl Gateway ===

impl Gateway {
    /// Everything outside the API.
    pub(super) async fn page(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (request, _) = request.into_parts();
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let Some(answer) = self.web.answer(&request.method, target, &request.headers).await? else {
            let error = if request.uri.path() == "/" { RouteError::NoWebUi } else { RouteError::NotFound };
            return self.no_page(&request.headers, error);
        };
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, SlowClientBody::wrap(body).await?))
    }

    /// Refuses a request that has no route; a person who opened a link reads why.
    pub(super) fn refuse(
        &self,
        request: &Request<Body>,
        error: RouteError,
    ) -> Result<Response<Body>, BoxError> {
        if request.extensions().get() == Some(&AuthScope::Open) {
            self.no_page(request.headers(), error)
        } else {
            Err(error.into())
        }
    }

    fn no_page(&self, headers: &HeaderMap, error: RouteError) -> Result<Response<Body>, BoxError> {
        if error.kind() == ErrorKind::Client && webui::is_navigation(headers) {
            Ok(self.web.no_page(error.reply().status, &error.to_string()))
        } else {
            Err(error.into())
        }
    }
}

/// Sends a browser to another page.
pub(super) fn moved(location: &str) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_bytes(location.as_bytes())?);
    Ok(response)
}
