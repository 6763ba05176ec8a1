//! One connection: HTTP/1 or HTTP/2, whichever the client speaks, until it ends or takes too long.
//!
//! The timeout for heads is not hyper's `header_read_timeout`, which only starts once the version is known:
//! [`Activity`] records every byte, and the sweep of [`Connections`] closes overdue connections.
//!
//! [`Activity`]: super::activity::Activity
//! [`Connections`]: super::caps::Connections

use super::answers::Answering;
use super::caps::{Connections, Place};
use super::http2::{self, Streams};
use super::stream::Watched;
use super::tls::Tls;
use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The longest head of HTTP/1, and about how much of an answer waits for the socket.
const BUFFER: usize = 64 << 10;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) connections: Arc<Connections>,
    /// How long a client may go without reading its answer.
    pub(super) patience: Duration,
    pub(super) tls: Option<Tls>,
}

/// Answers the requests of a connection until it ends, `stop` asks it to end, or it is displaced by another one.
pub(super) async fn serve(stream: TcpStream, place: Place, shared: Shared, stop: Watcher) {
    // Events are small and must not wait for an acknowledgement. Without this option the socket still works.
    let _ = stream.set_nodelay(true);
    tokio::select! {
        () = secure_and_speak(stream, &place, shared, stop) => {}
        () = place.activity.closed() => {}
    }
}

/// Speaks HTTP, over TLS where the server has a certificate.
async fn secure_and_speak(mut stream: TcpStream, place: &Place, shared: Shared, stop: Watcher) {
    let Some(tls) = shared.tls.clone() else {
        return speak(Watched::new(stream, Arc::clone(&place.activity)), place, shared, stop).await;
    };
    if !tls.is_spoken(&mut stream).await {
        return tracing::debug!("a client did not speak TLS");
    }
    match tls.accept(Watched::new(stream, Arc::clone(&place.activity))).await {
        Ok(stream) => speak(stream, place, shared, stop).await,
        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
    }
}

/// Speaks HTTP over a stream of bytes.
async fn speak<S>(stream: S, place: &Place, shared: Shared, stop: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared { router, connections, patience, .. } = shared;
    let mut builder = Builder::new(Streams { patience });
    builder.http1().max_buf_size(BUFFER);
    http2::limit(&mut builder);
    let service = Answering { router, connections, activity: Arc::clone(&place.activity) };
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = stop.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
