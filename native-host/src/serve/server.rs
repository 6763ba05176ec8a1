//! The HTTP server: connections, time limits, one log line per request, and an end in good order.

use super::{Config, Error, Metrics, QueueService, Result, Timeouts};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
#[cfg(feature = "component")]
use axum::routing::any;
use axum::{Router, http::StatusCode};
use easel_contract::{Service, Settings};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// How long connections have to end after the last task has.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The contract's router over a service, with the layers that every deployment adds.
pub fn router(service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    let settings = Settings { origins: config.origins.clone(), body_limit: config.body_limit };
    finished(easel_contract::router(Arc::clone(&service), settings), service, metrics, config)
}

/// The same routes, answered by a component; [`environment`] is for it.
#[cfg(feature = "component")]
pub fn component_router(
    component: crate::component::Host,
    service: Arc<dyn Service>,
    metrics: Arc<Metrics>,
    config: &Config,
) -> Router {
    let ask = move |request: Request| {
        let component = component.clone();
        async move { component.answer(request).await }
    };
    // The component does the routing. The known paths are routes here too, so that metrics can name them.
    let known = easel_contract::openapi().paths.paths.into_keys();
    let routes = known.fold(Router::new().fallback(ask.clone()), |routes, path| routes.route(&path, any(ask.clone())));
    finished(routes, service, metrics, config)
}

/// The configuration as the edge component's environment.
#[cfg(feature = "component")]
pub fn environment(config: &Config) -> Vec<(String, String)> {
    let set = |name: &str, value: String| (name.to_owned(), value);
    vec![set("EASEL_ORIGINS", origins(&config.origins)), set("EASEL_BODY_LIMIT", config.body_limit.to_string())]
}

/// As `EASEL_ORIGINS` has it.
#[cfg(feature = "component")]
fn origins(origins: &easel_contract::Origins) -> String {
    match origins {
        easel_contract::Origins::Localhost => "localhost".into(),
        easel_contract::Origins::Any => "*".into(),
        easel_contract::Origins::List(list) => list.join(","),
    }
}

/// Adds the route for components on other hosts, and the layers that apply to every request.
fn finished(routes: Router, service: Arc<dyn Service>, metrics: Arc<Metrics>, config: &Config) -> Router {
    routes
        .merge(easel_contract::calls::router(service))
        .layer(RequestBodyTimeoutLayer::new(config.timeouts.body))
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(metrics, observe))
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

/// A client may invent methods; metrics must not grow by that.
fn is_standard(method: &axum::http::Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "CONNECT" | "TRACE")
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    timeouts: Timeouts,
}

impl Server {
    /// Listens.
    pub async fn bind(config: &Config) -> Result<Self> {
        let failed = |reason| Error::Listen { address: config.listen, reason };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        Ok(Self { listener, timeouts: config.timeouts })
    }

    /// Where it listens: the port that the system chose, if the configuration asked for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers requests until `stop` resolves. Then no connection is accepted any more, tasks that run have `grace` to
    /// finish while their watchers watch, the queue closes, and connections end.
    pub async fn run(self, router: Router, service: QueueService, grace: Duration, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream, router.clone(), &graceful),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(EXHAUSTED).await;
                    }
                },
                () = &mut stop => break,
            }
        }
        drop(self.listener);
        tracing::info!("stopping: running tasks have {} s to finish", grace.as_secs());
        let closed = tokio::task::spawn_blocking(move || service.shutdown(grace)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the queue did not close");
        }
        if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections that did not end are cut");
        }
    }

    fn serve(&self, stream: TcpStream, router: Router, graceful: &GracefulShutdown) {
        // Events are small and must not wait for an acknowledgement; a socket that refuses works without.
        let _ = stream.set_nodelay(true);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.timeouts.header);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(self.timeouts.header);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}
