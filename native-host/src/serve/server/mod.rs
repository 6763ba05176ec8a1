//! The HTTP server: it accepts connections, gives each to [`connection`], and ends in good order.
//!
//! [`routes`] puts the layers of every deployment around the contract's router, and makes one log line per request.

mod connection;
mod routes;

pub use routes::router;
#[cfg(feature = "component")]
pub use routes::{component_router, environment};

use super::{Config, Error, QueueService, Result, Timeouts};
use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long connections have to end after the last task has.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(100);

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
                    Ok((stream, _)) => {
                        let served = connection::serve(stream, router.clone(), self.timeouts, graceful.watcher());
                        tokio::spawn(served);
                    }
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
}
