//! The routes with the layers that every deployment adds: timeouts for bodies, recovery from panics, metrics, and one
//! log line per request.

#[cfg(feature = "component")]
use crate::serve::access::Keyed;
use crate::serve::access::{Quotas, quotas};
use crate::serve::admission::{Budget, admit};
use crate::serve::{Config, Metrics};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
#[cfg(feature = "component")]
use axum::routing::any;
use axum::{Router, http::StatusCode};
use easel_contract::calls::CallSettings;
use easel_contract::{Offload, Service, Settings};
use std::sync::Arc;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// The contract's router over a service, with the layers that every deployment adds.
pub fn router(service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    let settings = Settings { offload: Some(offload()), ..config.settings() };
    finished(easel_contract::router(Arc::clone(&service), settings), service, metrics, config)
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

/// Adds the internal route, if there is a key for it, and the layers that apply to every request.
fn finished(routes: Router, service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    let body_limit = config.body_limit.saturating_add(CALL);
    let settings = |key| CallSettings { key, body_limit, offload: Some(offload()), limits: config.limits };
    let routes = match config.internal_key {
        Some(key) => routes.merge(easel_contract::calls::router(service, settings(key))),
        None => routes,
    };
    let budget = Budget::new(config.body_memory, body_limit);
    routes
        .layer(from_fn_with_state(budget, admit))
        .layer(from_fn_with_state(Arc::new(Quotas::new(config.settings())), quotas::limit))
        .layer(RequestBodyTimeoutLayer::new(config.timeouts.body))
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(metrics, observe))
}

/// Parses long bodies on threads that may block.
fn offload() -> Offload {
    Offload::new(|work| drop(tokio::task::spawn_blocking(work)))
}

/// Counts and logs a request.
async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let took = began.elapsed();
    let method_name = if is_standard(&method) { method.as_str() } else { "other" };
    metrics.answered(method_name, route.as_ref().map_or("", MatchedPath::as_str), status.as_u16(), took);
    let milliseconds = took.as_secs_f64() * 1e3;
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%method, path, status = status.as_u16(), milliseconds, "request");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), milliseconds, "request");
    }
    response
}

/// Clients may invent methods, which must not become metrics.
fn is_standard(method: &axum::http::Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "CONNECT" | "TRACE")
}
