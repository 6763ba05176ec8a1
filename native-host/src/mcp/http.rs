//! The route `/mcp`: streamable HTTP, behind the same access control as every other route.

use super::Studio;
use crate::serve::Config;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use easel_contract::{Service, access};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The path of the route.
const PATH: &str = "/mcp";

/// The header with the name of a session.
const SESSION: &str = "mcp-session-id";

/// The most sessions at a time.
const MOST: usize = 1000;

/// When a client that gets no session should retry, in seconds.
const RETRY_AFTER: &str = "60";

/// The route, answered by `service`.
pub fn routes(service: Arc<dyn Service>, config: &Config) -> Router {
    with_sessions(MOST, service, config)
}

/// The same with at most `most` sessions.
fn with_sessions(most: usize, service: Arc<dyn Service>, config: &Config) -> Router {
    let sessions = Arc::new(LocalSessionManager::default());
    let studio = Studio::new(service, config);
    // Host names and pages are checked in front, as for the other routes.
    let own = StreamableHttpServerConfig::default().disable_allowed_hosts();
    let own = own.with_max_request_body_bytes(config.body_limit);
    let http = StreamableHttpService::new(move || Ok(studio.clone()), Arc::clone(&sessions), own);
    let routes = Router::new()
        .route_service(PATH, http)
        .layer(from_fn_with_state(Arc::new(Doors { sessions, most, beginning: AtomicUsize::new(0) }), bounded));
    access::protected(routes, Arc::new(config.settings()))
}

/// The sessions, and how many there may be.
struct Doors {
    sessions: Arc<LocalSessionManager>,
    most: usize,
    /// Requests that may begin a session. A session is only listed once its request is answered.
    beginning: AtomicUsize,
}

/// A request that may begin a session, until it is answered.
struct Beginning<'a>(&'a AtomicUsize);

impl Doors {
    /// Lets a request in that may begin a session, unless there are too many.
    async fn enter(&self) -> Option<Beginning<'_>> {
        let before = self.beginning.fetch_add(1, Ordering::Relaxed);
        let beginning = Beginning(&self.beginning);
        let has_room = self.sessions.sessions.read().await.len() + before < self.most;
        has_room.then_some(beginning)
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses a new session if there are too many.
async fn bounded(State(doors): State<Arc<Doors>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || request.headers().contains_key(SESSION) {
        return next.run(request).await;
    }
    match doors.enter().await {
        Some(_beginning) => next.run(request).await,
        None => {
            let headers = [(header::RETRY_AFTER, RETRY_AFTER)];
            (StatusCode::SERVICE_UNAVAILABLE, headers, "too many sessions").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::QueueService;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn sessions_of_agents_are_limited() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), model: "stub".into(), ..Config::default() };
        let routes = with_sessions(1, Arc::new(QueueService::open(&config).unwrap()), &config);
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18",
                        "capabilities":{},"clientInfo":{"name":"a test","version":"1"}}}"#;
        let begin = async || {
            let request = Request::post(PATH).header(header::HOST, "localhost");
            let request = request.header(header::CONTENT_TYPE, "application/json");
            let request = request.header(header::ACCEPT, "application/json, text/event-stream");
            routes.clone().oneshot(request.body(Body::from(hello)).unwrap()).await.unwrap()
        };
        assert_eq!(begin().await.status(), StatusCode::OK);
        let refused = begin().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
    }

    #[tokio::test]
    async fn sessions_that_begin_at_once_are_counted_before_they_exist() {
        let doors = Doors { sessions: Arc::default(), most: 2, beginning: AtomicUsize::new(0) };
        let first = doors.enter().await;
        let second = doors.enter().await;
        assert!(first.is_some() && second.is_some());
        assert!(doors.enter().await.is_none());
        drop(first);
        assert!(doors.enter().await.is_some());
    }
}
