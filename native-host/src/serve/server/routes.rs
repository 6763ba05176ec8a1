//! The routes with what every deployment does around them: quotas of keys, memory and timeouts for bodies, recovery from
//! panics, metrics, and one log line per request.
//!
//! All of it is one layer, because a router copies its layers for every request, and each copies those below it.

#[cfg(feature = "component")]
use crate::serve::access::Keyed;
use crate::serve::access::{Part, Quotas, only};
use crate::serve::admission::Budget;
use crate::serve::request_id;
use crate::serve::trace::RequestTrace;
use crate::serve::{Config, Metrics};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
#[cfg(feature = "component")]
use axum::routing::any;
use easel_contract::calls::CallSettings;
use easel_contract::{Offload, Service, Settings};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::timeout::TimeoutBody;

/// The contract's router over a service, with what every deployment does around it.
pub fn router(service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    let settings = Settings { offload: Some(offload()), ..config.settings() };
    finished(easel_contract::router(Arc::clone(&service), settings), service, metrics, config)
}

/// The routes of a host that only draws: metrics and health.
pub fn worker_router(service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    only(Part::Workers, router(service, metrics, config), config.settings())
}

/// The same routes, answered by a component whose environment is [`environment`].
#[cfg(feature = "component")]
pub fn component_router(
    component: crate::component::Host,
    service: Arc<dyn Service>,
    metrics: Arc<Metrics>,
    config: &Config,
) -> Router {
    let component = Arc::new(Keyed::new(component, config.settings()));
    let ask = move |request: Request| {
        let component = component.current();
        async move { component.answer(request).await }
    };
    // The component does the routing. The known paths are routes here as well, so that metrics can name them.
    let known = easel_contract::openapi().paths.paths.into_keys();
    let routes = known.fold(Router::new().fallback(ask.clone()), |routes, path| routes.route(&path, any(ask.clone())));
    finished(routes, service, metrics, config)
}

/// The configuration as the edge component's environment.
#[cfg(feature = "component")]
pub fn environment(config: &Config) -> Vec<(String, String)> {
    config.settings().to_environment()
}

/// How much longer a component's call may be than the request body behind it: it contains more field names.
const CALL: usize = 64 << 10;

/// Adds the tools for agents, the internal route, if there is a key for it, and what applies to every request.
fn finished(routes: Router, service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    #[cfg(feature = "mcp")]
    let routes = routes.merge(crate::mcp::routes(Arc::clone(&service), config));
    let body_limit = config.body_limit.saturating_add(CALL);
    let settings = |key| CallSettings { key, body_limit, offload: Some(offload()), limits: config.limits };
    let routes = match config.internal_key {
        Some(key) => routes.merge(easel_contract::calls::router(Arc::clone(&service), settings(key))),
        None => routes,
    };
    let routes = with_grpc(routes, service, config);
    let surroundings = Surroundings {
        metrics,
        quotas: Arc::new(Quotas::new(config.settings())),
        budget: Budget::new(config.body_memory, body_limit),
        body_timeout: config.timeouts.body,
    };
    routes.layer(from_fn_with_state(Arc::new(surroundings), observe))
}

/// What surrounds the routes.
struct Surroundings {
    metrics: Arc<Metrics>,
    quotas: Arc<Quotas>,
    budget: Budget,
    /// How long a client may take for the next piece of a body.
    body_timeout: Duration,
}

impl Surroundings {
    /// Answers a request within its key's quota, once there is memory for its body.
    async fn answer(&self, request: Request, next: Next) -> Response {
        let running = match self.quotas.begin(&request) {
            Ok(running) => running,
            Err(error) => return self.quotas.refuse(request, error).await,
        };
        let is_call = is_call(&request);
        let request = match self.timed(request) {
            // Messages of gRPC are short, and a stream of them may take longer than the patience for a body.
            request if is_call => request,
            request => match self.budget.admit(request).await {
                Ok(request) => request,
                Err(refusal) => return refusal,
            },
        };
        let response = next.run(request).await;
        match running {
            Some(running) => running.until_read(response),
            None => response,
        }
    }

    /// A request whose body fails if its client stops sending.
    fn timed(&self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        request.map(|body| Body::new(TimeoutBody::new(self.body_timeout, body)))
    }
}

fn panicked(id: &HeaderValue) -> Response {
    let text = format!("the request failed: the server's log says more (request {})\n", request_id::text(id));
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

/// Adds gRPC if there is an address for it.
#[cfg(feature = "grpc")]
fn with_grpc(routes: Router, service: Arc<dyn Service>, config: &Config) -> Router {
    match config.grpc {
        Some(_) => routes.merge(crate::serve::grpc::routes(service, config.settings())),
        None => routes,
    }
}

/// This build has no gRPC, and [`Config::check`] refuses an address for it.
#[cfg(not(feature = "grpc"))]
fn with_grpc(routes: Router, _service: Arc<dyn Service>, _config: &Config) -> Router {
    routes
}

/// Whether a request goes to a route of gRPC.
fn is_call(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    cfg!(feature = "grpc") && route.is_some_and(|route| route.as_str().ends_with("/{*method}"))
}

/// Parses long bodies on threads that may block.
fn offload() -> Offload {
    Offload::new(|work| drop(tokio::task::spawn_blocking(work)))
}

/// Answers, counts, logs and traces a request.
async fn observe(State(surroundings): State<Arc<Surroundings>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let pattern = route.as_ref().map(MatchedPath::as_str);
    let id = request_id::establish(request.headers_mut());
    let trace = RequestTrace::begin(name_of(&method), pattern, request.headers_mut());
    let answer = request_id::within(id.clone(), surroundings.answer(request, next));
    let answered = AssertUnwindSafe(answer).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| panicked(&id));
    let status = response.status().as_u16();
    trace.end(status);
    let took = began.elapsed();
    surroundings.metrics.answered(name_of(&method), route, status, took);
    let milliseconds = took.as_secs_f64() * 1e3;
    let path = uri.path();
    let request = request_id::text(&id);
    if status == StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
        tracing::error!(%method, path, status, milliseconds, request, "request");
    } else {
        tracing::debug!(%method, path, status, milliseconds, request, "request");
    }
    request_id::answer(response.headers_mut(), id);
    response
}

/// A method's name as a label. Clients may invent methods, which must not become metrics.
fn name_of(method: &Method) -> &'static str {
    const STANDARD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    STANDARD.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}
