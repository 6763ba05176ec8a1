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
mod tls;

pub use routes::router;
#[cfg(feature = "component")]
pub use routes::{component_router, environment};

use super::access::{Part, only};
use super::{Config, Error, QueueService, Result};
use axum::Router;
use caps::Connections;
use connection::Shared;
use easel_contract::Settings;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
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
    /// For the routes of operators, with the settings of answers there.
    admin: Option<(TcpListener, Settings)>,
    connections: Arc<Connections>,
    /// How long a client may take nothing of an answer.
    patience: Duration,
    tls: Option<Tls>,
}

impl Server {
    /// Listens.
    pub async fn bind(config: &Config) -> Result<Self> {
        let listener = listen(config.listen).await?;
        let admin = match config.admin {
            Some(address) => Some((listen(address).await?, config.settings())),
            None => None,
        };
        let connections = Connections::new(&config.network, config.timeouts, descriptors::room());
        let tls = config.tls.as_ref().map(|files| Tls::open(files, config.timeouts.header)).transpose()?;
        Ok(Self { listener, admin, connections, patience: config.timeouts.answer, tls })
    }

    /// Where it listens: the port that the system chose, if the configuration asked for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Where the routes of operators are, if they have an address of their own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
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
        let Self { listener, admin, connections, patience, tls } = self;
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.follow());
        }
        let graceful = GracefulShutdown::new();
        let clients = match &admin {
            Some((_, settings)) => only(Part::Clients, router.clone(), settings.clone()),
            None => router.clone(),
        };
        let shared = Shared { router: clients, connections: Arc::clone(&connections), patience, tls };
        let admin = admin.map(|(listener, settings)| {
            let router = only(Part::Operators, router, settings);
            (listener, Shared { router, ..shared.clone() })
        });
        let begin = |(stream, peer): (TcpStream, SocketAddr), shared: &Shared| match connections.admit(peer.ip()) {
            Some(place) => drop(tokio::spawn(connection::serve(stream, place, shared.clone(), graceful.watcher()))),
            None => refuse(&stream),
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = accept(&listener, &connections) => begin(accepted, &shared),
                (accepted, shared) = accept_operator(&admin, &connections) => begin(accepted, shared),
                () = &mut stop => break,
            }
        }
        drop((listener, admin));
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

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|reason| Error::Listen { address, reason })
}

/// The next connection to the address for operators, if there is one.
async fn accept_operator<'a>(
    admin: &'a Option<(TcpListener, Shared)>,
    connections: &Connections,
) -> ((TcpStream, SocketAddr), &'a Shared) {
    match admin {
        Some((listener, shared)) => (accept(listener, connections).await, shared),
        None => std::future::pending().await,
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
