//! The streams of HTTP/2: each ends when its client takes nothing of the answer for too long.
//!
//! A client may close the window of a single stream, which the socket does not show. hyper gives every stream to an
//! executor as a task of its own; the one here drops the task, which resets the stream.

use super::clock::Moment;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use std::sync::Arc;
use std::time::Duration;

/// Requests of one connection at a time. RFC 9113 advises a hundred and more, so that pages load without a pause; what is
/// asked for here takes seconds.
const STREAMS: u32 = 64;

/// Bytes of request bodies that a client may send before they are read, on one stream and on all.
const WINDOW: [u32; 2] = [128 << 10, 256 << 10];

/// Bytes of an answer that wait for the socket, for each stream.
const SEND_BUFFER: usize = 32 << 10;

/// Bytes of a request's headers.
const HEADERS: u32 = 16 << 10;

/// Streams that a client may reset before they are looked at, and that we may reset for its errors, until the connection
/// ends: CVE-2023-44487 and CVE-2025-8671.
const RESETS: [usize; 2] = [20, 128];

/// How often a connection without traffic is asked whether it is alive, and how long it has to answer.
const PING: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(20)];

tokio::task_local! {
    static TAKING: Arc<Taking>;
}

/// Sets the limits.
pub(super) fn limit(builder: &mut Builder<Streams>) {
    let [stream, connection] = WINDOW;
    let [unseen, ours] = RESETS;
    let [interval, patience] = PING;
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(stream)
        .initial_connection_window_size(connection)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(unseen)
        .max_local_error_reset_streams(ours)
        .keep_alive_interval(interval)
        .keep_alive_timeout(patience);
}

/// Whether a stream's client takes its answer.
pub(super) struct Taking {
    /// Since when a piece waits.
    since: Moment,
}

impl Taking {
    /// That of the stream whose task this is; `None` in HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        TAKING.try_with(Arc::clone).ok()
    }

    pub(super) fn offered(&self) {
        self.since.set();
    }

    pub(super) fn taken(&self) {
        self.since.clear();
    }

    /// Resolves when a piece has waited for so long.
    async fn stalled(&self, limit: Duration) {
        let mut patience = limit;
        loop {
            tokio::time::sleep(patience).await;
            let waited = self.since.elapsed().unwrap_or_default();
            if waited >= limit {
                return;
            }
            patience = limit - waited;
        }
    }
}

/// Runs streams.
#[derive(Clone)]
pub(super) struct Streams {
    /// How long a client may take nothing of an answer.
    pub(super) patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let taking = Arc::new(Taking { since: Moment::never() });
        let patience = self.patience;
        let watched = Arc::clone(&taking);
        tokio::spawn(TAKING.scope(taking, async move {
            tokio::select! {
                () = stream => {}
                () = watched.stalled(patience) => tracing::debug!("an answer that its client does not take is ended"),
            }
        }));
    }
}
