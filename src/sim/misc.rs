//! Health, version, metrics, Tessen and the etcd members.

use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{
    Context, Inner, Outcome,
    call::Call,
    json, kinds,
    reply::{self, Failure, Reply},
    route::Target,
};

fn bad_request(text: impl Into<String>) -> Failure {
    Failure::Text(StatusCode::BAD_REQUEST, text.into())
}

/// `timeout` must be a number.
fn check_timeout(call: &Call) -> Result<(), Failure> {
    match call.param("timeout").filter(|t| !t.is_empty()) {
        Some(text) if text.parse::<i64>().is_err() => {
            Err(bad_request(format!("strconv.Atoi: parsing \"{text}\": invalid syntax")))
        }
        _ => Ok(()),
    }
}

pub(super) fn version(call: &Call) -> Outcome {
    call.check_form()?;
    let body = r#"{"etcd":{"etcdserver":"3.5.15","etcdcluster":"3.5.0"},"sensu_backend":"6.12.0","api_groups":{"core/v2":"v2.20.0","core/v3":"v3.9.0"}}"#;
    Ok(reply::plain(StatusCode::OK, format!("{body}\n")))
}

pub(super) fn metrics() -> Reply {
    let mut answer = reply::plain(
        StatusCode::OK,
        "# HELP sensu_go_build_info Build information\n# TYPE sensu_go_build_info gauge\nsensu_go_build_info{version=\"6.12.0\"} 1\n",
    );
    let value = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

/// Echoes a list of metric points, without asking who sends it.
pub(super) fn tessen_metrics(call: &Call) -> Outcome {
    call.check_form()?;
    let body = call.json(0)?;
    let Value::Array(points) = &body else {
        let word = json::type_word(&body);
        let text = format!("json: cannot unmarshal {word} into Go value of type []v2.MetricPoint");
        return Err(Failure::router(0, text));
    };
    let mut out = Vec::with_capacity(points.len());
    for point in points {
        let point = kinds::METRIC_POINT.decode(point).map_err(|e| Failure::router(0, e))?;
        out.push(kinds::METRIC_POINT.encode(&point));
    }
    Ok(reply::ok(super::generic::array(out.into_iter())))
}

// === impl Inner ===

impl Inner {
    pub(super) fn member_id(&self) -> u64 {
        self.id.rotate_left(17)
    }

    pub(super) fn health(&self, call: &Call) -> Outcome {
        call.check_form()?;
        check_timeout(call)?;
        let (cluster, member) = (self.id, self.member_id());
        let name = Value::from(self.name.as_str());
        let body = format!(
            r#"{{"Alarms":null,"ClusterHealth":[{{"MemberID":{member},"MemberIDHex":"{member:x}","Name":{name},"Err":"","Healthy":true}}],"Header":{{"cluster_id":{cluster},"member_id":{member},"raft_term":2}}}}"#,
        );
        Ok(reply::plain(StatusCode::OK, format!("{body}\n")))
    }
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn cluster_route(&mut self, target: &Target) -> Outcome {
        match (target, self.call.method.as_str()) {
            (Target::Tessen, "GET") => Ok(self.tessen()),
            (Target::Tessen, _) => {
                let body = self.call.json(0)?;
                let config = kinds::TESSEN.decode(&body).map_err(|e| Failure::router(0, e))?;
                self.state.opt_out = config.get("opt_out") == Some(&Value::Bool(true));
                Ok(self.tessen())
            }
            (Target::ClusterId, _) => {
                let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &self.inner.id.to_be_bytes());
                Ok(reply::plain(StatusCode::OK, format!("\"{id}\"\n")))
            }
            (Target::Members, "GET") => self.members(),
            (Target::Members, _) => {
                check_timeout(self.call)?;
                Err(match self.call.param("peer-addrs") {
                    None => bad_request("missing peer-addrs form value"),
                    Some(_) => unchangeable("etcdserver: unhealthy cluster"),
                })
            }
            (Target::Member(id), _) => Err(match u64::from_str_radix(id, 16) {
                Ok(_) => unchangeable("etcdserver: member not found"),
                Err(_) => {
                    bad_request(format!("bad id ({id}): strconv.ParseUint: parsing \"{id}\": invalid syntax"))
                }
            }),
            _ => Err(Failure::not_found()),
        }
    }

    fn tessen(&self) -> Reply {
        let body = format!("{{\"opt_out\":{}}}", self.state.opt_out);
        let etag = reply::etag(&body);
        reply::tagged(body, &etag)
    }

    fn members(&self) -> Outcome {
        check_timeout(self.call)?;
        let (cluster, member) = (self.inner.id, self.inner.member_id());
        let name = Value::from(self.inner.name.as_str());
        let body = format!(
            r#"{{"header":{{"cluster_id":{cluster},"member_id":{member},"raft_term":2}},"members":[{{"ID":{member},"name":{name},"peerURLs":["https://etcd-1.example.com:2380"],"clientURLs":["https://etcd-1.example.com:2379"]}}]}}"#,
        );
        Ok(reply::plain(StatusCode::OK, format!("{body}\n")))
    }
}

/// Changes of members are refused: the double has exactly one.
fn unchangeable(text: &str) -> Failure {
    Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, text.into())
}
