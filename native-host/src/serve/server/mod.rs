//! The HTTP server: it accepts connections, as many as there is room for ([`caps`]), gives each to [`connection`], and ends
//! in good order.
//!
//! A client has a time for everything that the server waits for ([`activity`]): a head, a body, reading an answer, the next
//! request. [`routes`] puts the layers of every deployment around the contract's router, and makes one log line per request.

mod activity;
mod answers;
mod caps;
mod clock;
mod connection;
mod descriptors;
mod http2;
mod routes;
mod stream;

pub use routes::router;
#[cfg(feature = "component")]
pub use routes::{component_router, environment};

use super::{Config, Error, QueueService, Result};
use axum::Router;
use caps::Connections;
use connection::Shared;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long connections have to end after the last task has.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(20);

/// What a client reads for whom there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    connections: Arc<Connections>,
    /// How long a client may take nothing of an answer.
    patience: Duration,
}

impl Server {
    /// Listens.
    pub async fn bind(config: &Config) -> Result<Self> {
        let failed = |reason| Error::Listen { address: config.listen, reason };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let connections = Connections::new(&config.network, config.timeouts, descriptors::room());
        Ok(Self { listener, connections, patience: config.timeouts.answer })
    }

    /// Where it listens: the port that the system chose, if the configuration asked for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers requests until `stop` resolves. Then no connection is accepted any more, tasks that run have `grace` to
    /// finish while their watchers watch, the queue closes, and connections end.
    pub async fn run(self, router: Router, service: QueueService, grace: Duration, stop: impl Future<Output = ()>) {
        let connections = Arc::clone(&self.connections);
        tokio::select! {
            () = self.answer(router, service, grace, stop) => {}
            () = connections.sweep() => {}
        }
    }

    async fn answer(self, router: Router, service: QueueService, grace: Duration, stop: impl Future<Output = ()>) {
        let Self { listener, connections, patience } = self;
        let graceful = GracefulShutdown::new();
        let shared = Shared { router, connections: Arc::clone(&connections), patience };
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                (stream, peer) = accept(&listener, &connections) => match connections.admit(peer.ip()) {
                    Some(place) => drop(tokio::spawn(connection::serve(stream, place, shared.clone(), graceful.watcher()))),
                    None => refuse(&stream),
                },
                () = &mut stop => break,
            }
        }
        drop(listener);
        tracing::info!("stopping: running tasks have {} s to finish", grace.as_secs());
        let closed = tokio::task::spawn_blocking(move || service.shutdown(grace)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the queue did not close");
        }
        if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections that did not end are cut");
        }
    }
}

/// The next connection, once there is room.
async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        connections.room().await;
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has left already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                connections.displace();
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

/// Tells a client that there is no room, as far as its socket takes that at once.
fn refuse(stream: &TcpStream) {
    tracing::debug!("a connection was refused: every other client waits for an answer");
    let _ = stream.try_write(FULL);
}
