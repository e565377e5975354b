use http::{Request, Response, request::Parts};

use super::{Gateway, body};
use crate::{api, error::BoxError, telemetry::AccessInfo, types::Caller, wire::Body};

// === impl Gateway ===

impl Gateway {
    /// A request for `federation/v1`; `path` is what follows `/api/enterprise/federation/v1/`, still encoded.
    pub(super) async fn federation(
        &self,
        request: Request<Body>,
        path: &str,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        let (parts, incoming) = request.into_parts();
        let query = parts.uri.query().map(ToOwned::to_owned);
        let Parts { method, headers, .. } = parts;
        let caller = self.identify(caller, &headers).await?;
        if let Caller::Token(user) = &caller {
            info.subject = Some(user.subject.clone());
        }
        let federation = &self.resources.federation;
        // Before the body is read, so that only those who may write can make the gateway wait and hold bytes.
        federation.admit(&method, path, &caller)?;
        let (body, _held) = body::read(incoming, api::MAX_BODY, &self.resources.bodies).await?;
        // By the rights of this moment: a body can take minutes, and the caller may have lost them.
        let admitted = federation.admit(&method, path, &caller)?;
        Ok(federation.answer(admitted, query, headers, body).await?)
    }
}
