//! One connection: HTTP/1 or HTTP/2, whichever the client speaks, with its time limits.

use crate::serve::Timeouts;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

/// Answers the requests of a connection until it ends, or `stop` asks it to end.
pub(super) async fn serve(stream: TcpStream, router: Router, timeouts: Timeouts, stop: Watcher) {
    // Events are small and must not wait for an acknowledgement; a socket that refuses works without.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(timeouts.header);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(timeouts.header);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    if let Err(error) = stop.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
