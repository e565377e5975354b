//! From a request to its handler, through the layers in Sensu's order.

use http::StatusCode;

use super::{
    Context, Outcome, Sensu, State,
    call::{self, Call},
    rbac,
    reply::{self, Failure, Reply},
    route::{self, Target},
};

// === impl Sensu ===

impl Sensu {
    /// Answers a request.
    pub(super) fn answer(&self, call: &Call) -> Reply {
        if !call::has_good_escapes(&call.path) {
            return reply::malformed();
        }
        if let Some(clean) = route::cleaned(&call.path) {
            let location = match &call.query {
                Some(query) => format!("{clean}?{query}"),
                None => clean,
            };
            return reply::located(reply::empty(StatusCode::MOVED_PERMANENTLY), &location);
        }
        let Some(target) = route::find(&call.path) else {
            return reply::plain(StatusCode::NOT_FOUND, "{\"code\":2,\"message\":\"not found\"}\n");
        };
        if !target.allows(&call.method) {
            return reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let mut state = self.0.lock();
        self.route(&mut state, call, &target).unwrap_or_else(Failure::into_reply)
    }

    fn route(&self, state: &mut State, call: &Call, target: &Target) -> Outcome {
        match target {
            Target::Health => self.0.health(call),
            Target::Version => super::misc::version(call),
            Target::Metrics => Ok(super::misc::metrics()),
            Target::TessenMetrics => super::misc::tessen_metrics(call),
            Target::Ready => Ok(match state.startup_wait {
                Some(wait) => reply::unavailable(wait),
                None => reply::plain(StatusCode::OK, "ready\n"),
            }),
            Target::Login | Target::TestCredentials | Target::Refresh | Target::Logout => {
                self.0.auth_route(state, call, target)
            }
            Target::Graphql => self.graphql(state, call),
            _ => self.core(state, call, target),
        }
    }

    fn core(&self, state: &mut State, call: &Call, target: &Target) -> Outcome {
        let user = self.0.authenticate(state, call)?.ok_or(Failure::Middleware(5, "bad credentials"))?;
        if let Some(asked) = target.attributes(&call.method, &user.name) {
            match rbac::allows(&state.store, &user, &asked) {
                Ok(true) => {}
                Ok(false) => return Err(Failure::Middleware(4, "unauthorized to perform action")),
                Err(_) => {
                    return Err(Failure::Middleware(0, "unexpected error occurred during authorization"));
                }
            }
        }
        call.check_form()?;
        if let Some(wait) = state.startup_wait {
            return Ok(reply::unavailable(wait));
        }
        let now = self.0.clock.now();
        let mut context = Context { inner: &self.0, state, call, user: &user, now };
        context.handle(target)
    }
}

// === impl Context ===

impl Context<'_> {
    fn handle(&mut self, target: &Target) -> Outcome {
        self.expire_silences();
        let method = self.call.method.as_str();
        match target {
            Target::List(kind, ns) if method == "GET" => self.list(kind, ns.as_deref()),
            Target::List(kind, _) if !kind.put => self.grant_api_key(),
            Target::List(kind, ns) => self.write(kind, ns.as_deref(), None),
            Target::One(kind, ns, name) => match method {
                "GET" => self.get(kind, ns.as_deref(), name),
                "PUT" => self.write(kind, ns.as_deref(), Some(name)),
                "PATCH" => self.patch(kind, ns.as_deref(), name),
                _ => self.delete(kind, ns.as_deref(), name),
            },
            Target::CheckHooks(ns, check) => self.add_hooks(ns, check),
            Target::CheckHook(ns, check, kind, hook) => self.remove_hook(ns, check, kind, hook),
            Target::Execute(ns, check) => self.execute(ns, check),
            Target::Tessen | Target::ClusterId | Target::Members | Target::Member(_) => {
                self.cluster_route(target)
            }
            Target::Namespaces | Target::Namespace(_) => self.namespace_route(target),
            Target::Users
            | Target::User(_)
            | Target::UserVerb(..)
            | Target::UserGroups(_)
            | Target::UserGroup(..) => self.user_route(target),
            Target::Entities(_) | Target::Entity(..) => self.entity_route(target),
            Target::Events(_) | Target::EntityEvents(..) | Target::Event(..) => self.event_route(target),
            Target::Silences(_)
            | Target::Silence(..)
            | Target::SilencesBySubscription(..)
            | Target::SilencesByCheck(..) => self.silence_route(target),
            _ => Err(Failure::not_found()),
        }
    }
}
