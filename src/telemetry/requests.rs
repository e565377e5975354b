use std::{array, fmt, sync::Arc, time::Duration};

use http::StatusCode;

use super::metrics::{ByStatus, Count, Durations, Families, PerWorker, Registry, collect};

/// The kinds of routes: the values of the label `route`, and of the field of that name in log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Refused before there was a route.
    #[default]
    None,
    /// Health checks that the gateway answers.
    Gateway,
    /// `federation/v1`.
    Federation,
    /// One cluster, by its own paths below `/c/<cluster>/`.
    Raw,
    /// GraphQL.
    GraphQl,
    /// One cluster.
    Forward,
    /// A list of one or more clusters.
    List,
    /// The web UI, and everything else outside the API.
    Web,
}

/// What became of a request after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client has all of the answer.
    Complete,
    /// The answer broke off: a cluster failed in the middle of it.
    Cut,
    /// The client left before the end of the answer.
    Aborted,
    /// Answering it panicked.
    Panicked,
}

/// What all requests together were, for Prometheus. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<PerWorker<Set>>);

/// A worker's share.
#[derive(Debug, Default)]
struct Set {
    begun: Count,
    ended: Count,
    unreadable: Count,
    by_route: [Route; ROUTES.len()],
}

#[derive(Debug)]
struct Route {
    answers: [ByStatus; METHODS.len()],
    durations: Durations,
    bytes: Count,
    cut: Count,
    aborted: Count,
}

// === impl RouteKind ===

impl RouteKind {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gateway => "gateway",
            Self::Federation => "federation",
            Self::Raw => "raw",
            Self::GraphQl => "graphql",
            Self::Forward => "forward",
            Self::List => "list",
            Self::Web => "web",
        }
    }
}

// === impl Ending ===

impl Ending {
    /// Its name in metrics and logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Aborted => "aborted",
            Self::Panicked => "panicked",
        }
    }
}

// === impl Requests ===

impl Requests {
    /// Adds the families of requests.
    pub(super) fn register(&self, registry: &mut Registry) {
        let requests = self.clone();
        collect(registry, move |families| requests.write(families));
    }

    /// A request has begun.
    pub(super) fn begin(&self) {
        self.0.here().begun.inc();
    }

    /// It has ended. `status`: `None` when its client left before there was an answer.
    pub(super) fn end(&self, kind: RouteKind, method: &'static str, answer: Answer) {
        let set = self.0.here();
        let route = &set.by_route[kind as usize];
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        route.answers[method].inc(answer.status.unwrap_or(LEFT));
        route.durations.observe(answer.duration);
        route.bytes.add(answer.bytes);
        match answer.ending {
            Ending::Complete => {}
            Ending::Cut | Ending::Panicked => route.cut.inc(),
            Ending::Aborted => route.aborted.inc(),
        }
        set.ended.inc();
    }

    /// The HTTP parser refused a request.
    pub(super) fn refuse(&self, method: &'static str, status: StatusCode) {
        let set = self.0.here();
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        set.by_route[RouteKind::None as usize].answers[method].inc(status);
        set.unreadable.inc();
    }

    fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        families.counters(
            "requests",
            "Requests that have ended, by route, method and status.",
            self.answers(),
        )?;
        families.histograms(
            "request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ROUTES.map(|kind| (route(kind), self.0.distribution(|set| &set.of(kind).durations))),
        )?;
        families.counters(
            "response_bytes",
            "Bytes of the bodies of answers.",
            ROUTES.map(|kind| (route(kind), self.0.sum(|set| &set.of(kind).bytes))),
        )?;
        let endings = |ending: Ending, count: fn(&Route) -> &Count| {
            ROUTES.map(|kind| {
                let labels = [("route", kind.as_str()), ("outcome", ending.as_str())];
                (labels, self.0.sum(|set| count(set.of(kind))))
            })
        };
        let cut = endings(Ending::Cut, |route| &route.cut);
        let aborted = endings(Ending::Aborted, |route| &route.aborted);
        families.counters(
            "responses_incomplete",
            "Answers that did not end as they should: cut by the gateway or a cluster, or aborted by the client.",
            cut.into_iter().chain(aborted),
        )?;
        families.counter(
            "requests_unreadable",
            "Requests that the HTTP parser refused.",
            self.0.sum(|set| &set.unreadable),
        )?;
        // In this order: one that ends meanwhile must not make it negative.
        let ended = self.0.sum(|set| &set.ended);
        let begun = self.0.sum(|set| &set.begun);
        families.gauge(
            "requests_in_flight",
            "Requests whose answers have not ended.",
            begun.saturating_sub(ended),
        )
    }

    /// The combinations that have occurred.
    fn answers(&self) -> Vec<([(&'static str, String); 3], u64)> {
        let mut samples = Vec::new();
        for kind in ROUTES {
            for (index, method) in METHODS.iter().enumerate() {
                for (code, count) in ByStatus::summed(self.0.sets().map(|set| &set.of(kind).answers[index])) {
                    let labels = [
                        ("route", kind.as_str().to_owned()),
                        ("method", (*method).to_owned()),
                        ("code", code.to_string()),
                    ];
                    samples.push((labels, count));
                }
            }
        }
        samples
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: Option<StatusCode>,
    pub(super) duration: Duration,
    pub(super) bytes: u64,
    pub(super) ending: Ending,
}

// === impl Set ===

impl Set {
    fn of(&self, kind: RouteKind) -> &Route {
        &self.by_route[kind as usize]
    }
}

// === impl Route ===

impl Default for Route {
    fn default() -> Self {
        Self {
            answers: array::from_fn(|_| ByStatus::default()),
            durations: Durations::default(),
            bytes: Count::default(),
            cut: Count::default(),
            aborted: Count::default(),
        }
    }
}

/// The method as a label and in log lines; a client can invent one of any length.
pub(super) fn method_name(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or("other")
}

fn route(kind: RouteKind) -> [(&'static str, &'static str); 1] {
    [("route", kind.as_str())]
}

const ROUTES: [RouteKind; 8] = [
    RouteKind::None,
    RouteKind::Gateway,
    RouteKind::Federation,
    RouteKind::Raw,
    RouteKind::GraphQl,
    RouteKind::Forward,
    RouteKind::List,
    RouteKind::Web,
];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// Counts for a client that left before there was an answer, as in other proxies.
const LEFT: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn page(requests: &Requests) -> String {
        Metrics::new(|registry| requests.register(registry)).render()
    }

    fn answer(status: Option<u16>, ending: Ending) -> Answer {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        Answer { status, duration: Duration::from_millis(3), bytes: 7, ending }
    }

    #[test]
    fn every_route_is_where_its_number_says() {
        for (index, kind) in ROUTES.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.as_str());
        }
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let requests = Requests::default();
        for _ in 0..5 {
            requests.begin();
        }
        requests.end(RouteKind::List, "GET", answer(Some(200), Ending::Complete));
        requests.end(RouteKind::List, "GET", answer(Some(200), Ending::Cut));
        requests.end(RouteKind::Forward, "PUT", answer(None, Ending::Aborted));
        requests.end(RouteKind::Raw, method_name("BREW"), answer(Some(418), Ending::Complete));
        requests.refuse("other", StatusCode::BAD_REQUEST);
        let page = page(&requests);
        for line in [
            r#"fedgate_requests_total{route="list",method="GET",code="200"} 2"#,
            r#"fedgate_requests_total{route="forward",method="PUT",code="499"} 1"#,
            r#"fedgate_requests_total{route="raw",method="other",code="418"} 1"#,
            r#"fedgate_requests_total{route="none",method="other",code="400"} 1"#,
            r#"fedgate_request_duration_seconds_count{route="list"} 2"#,
            r#"fedgate_request_duration_seconds_count{route="web"} 0"#,
            r#"fedgate_request_duration_seconds_bucket{route="list",le="0.0025"} 0"#,
            r#"fedgate_request_duration_seconds_bucket{route="list",le="0.005"} 2"#,
            r#"fedgate_response_bytes_total{route="list"} 14"#,
            r#"fedgate_responses_incomplete_total{route="list",outcome="cut"} 1"#,
            r#"fedgate_responses_incomplete_total{route="forward",outcome="aborted"} 1"#,
            "fedgate_requests_unreadable_total 1",
            "fedgate_requests_in_flight 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}
