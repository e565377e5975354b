use http::{Request, Response};

use super::{Gateway, slow_client::SlowClientBody};
use crate::{error::BoxError, routing::RouteError, wire::Body};

// === impl Gateway ===

impl Gateway {
    /// Everything outside the API.
    pub(super) async fn page(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (request, _) = request.into_parts();
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let answer = self.web.answer(&request.method, target, &request.headers).await?;
        let (parts, body) = answer.ok_or(RouteError::NotFound)?.into_parts();
        Ok(Response::from_parts(parts, SlowClientBody::wrap(body).await?))
    }
}
