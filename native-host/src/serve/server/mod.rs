//! The HTTP server: accepts connections as long as there is room ([`caps`]), passes each to [`connection`], and shuts
//! down gracefully.
//!
//! Everything that the server waits for has a timeout ([`activity`]): a head, a body, reading an answer, the next
//! request. [`routes`] puts the layers of every deployment around the contract's router and writes one log line per
//! request.

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

#[cfg(feature = "component")]
pub use routes::{component_router, environment};
pub use routes::{router, worker_router};

use super::access::{Part, only};
use super::{Config, Error, QueueService, Result};
use axum::Router;
use caps::Connections;
use connection::Shared;
use easel_contract::Settings;
use futures_util::future::select_all;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::net::{TcpListener, TcpStream};

/// How long connections have to end after the last task.
const CLOSING: Duration = Duration::from_secs(5);

/// How long to wait if the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(20);

/// The answer to a client without room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A listening server.
pub struct Server {
    listener: TcpListener,
    /// Other addresses for the same routes, with their purpose.
    others: Vec<(&'static str, TcpListener)>,
    /// For the operators' routes, with the settings for their answers.
    admin: Option<(TcpListener, Settings)>,
    connections: Arc<Connections>,
    /// How long a client may go without reading its answer.
    patience: Duration,
    tls: Option<Tls>,
}

impl Server {
    /// Starts to listen.
    pub async fn bind(config: &Config) -> Result<Self> {
        let listener = listen(config.listen).await?;
        let mut others = Vec::new();
        for (name, address) in [("Caikit", config.caikit), ("gRPC", config.grpc)] {
            if let Some(address) = address {
                others.push((name, listen(address).await?));
            }
        }
        let admin = match config.admin {
            Some(address) => Some((listen(address).await?, config.settings())),
            None => None,
        };
        let connections = Connections::new(&config.network, config.timeouts, descriptors::room());
        let tls = config.tls.as_ref().map(|files| Tls::open(files, config.timeouts.header)).transpose()?;
        Ok(Self { listener, others, admin, connections, patience: config.timeouts.answer, tls })
    }

    /// Where it listens: the port that the system chose, if the configuration asked for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// The other addresses for clients, with their purpose.
    pub fn other_addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.others.iter().filter_map(|(name, listener)| Some((*name, listener.local_addr().ok()?)))
    }

    /// The address of the operators' routes, if they have a separate one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Answers requests until `stop` resolves. Then it accepts no more connections, gives running tasks `grace` to
    /// finish while their watchers stay connected, closes the queue, and ends the connections.
    pub async fn run(self, router: Router, service: QueueService, grace: Duration, stop: impl Future<Output = ()>) {
        let connections = Arc::clone(&self.connections);
        tokio::select! {
            () = self.answer(router, service, grace, stop) => {}
            () = connections.sweep() => {}
        }
    }

    async fn answer(self, router: Router, service: QueueService, grace: Duration, stop: impl Future<Output = ()>) {
        let Self { listener, others, admin, connections, patience, tls } = self;
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.follow());
        }
        let graceful = GracefulShutdown::new();
        let clients = match &admin {
            Some((_, settings)) => only(Part::Clients, router.clone(), settings.clone()),
            None => router.clone(),
        };
        let shared = Shared { router: clients, connections: Arc::clone(&connections), patience, tls };
        let own = [listener].into_iter().chain(others.into_iter().map(|(_, listener)| listener));
        let mut listeners: Vec<_> = own.map(|listener| (listener, shared.clone())).collect();
        if let Some((listener, settings)) = admin {
            let router = only(Part::Operators, router, settings);
            listeners.push((listener, Shared { router, ..shared }));
        }
        let begin = |(stream, peer): (TcpStream, SocketAddr), shared: &Shared| match connections.admit(peer.ip()) {
            Some(place) => drop(tokio::spawn(connection::serve(stream, place, shared.clone(), graceful.watcher()))),
            None => refuse(&stream),
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                (accepted, shared) = accept_any(&listeners, &connections) => begin(accepted, shared),
                () = &mut stop => break,
            }
        }
        drop(listeners);
        tracing::info!("stopping: running tasks have {} s to finish", grace.as_secs());
        let closed = tokio::task::spawn_blocking(move || service.shutdown(grace)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the queue did not close");
        }
        if tokio::time::timeout(CLOSING, graceful.shutdown()).await.is_err() {
            tracing::warn!("some connections did not end and are closed now");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|reason| Error::Listen { address, reason })
}

/// The next connection to any of the addresses, with its routes.
async fn accept_any<'a>(
    listeners: &'a [(TcpListener, Shared)],
    connections: &Connections,
) -> ((TcpStream, SocketAddr), &'a Shared) {
    let accepts = listeners
        .iter()
        .map(|(listener, shared)| Box::pin(async move { (accept(listener, connections).await, shared) }));
    select_all(accepts).await.0
}

/// The next connection, once there is room.
async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        connections.room().await;
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has already left.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                connections.displace();
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

/// Tells a client that there is no room, if its socket accepts that at once.
fn refuse(stream: &TcpStream) {
    tracing::debug!("a connection was refused: every other client is waiting for an answer");
    let _ = stream.try_write(FULL);
}
