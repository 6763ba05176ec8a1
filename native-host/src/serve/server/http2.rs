//! The streams of HTTP/2: each ends when its client does not read the answer for too long.
//!
//! A client may close the window of a single stream, which the socket does not show. hyper runs every stream as a task
//! on an executor; this executor drops the task, which resets the stream.

use super::clock::Moment;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use std::sync::Arc;
use std::time::Duration;

/// Simultaneous requests of a connection. RFC 9113 advises at least a hundred, so that pages load without a pause, but
/// requests here take seconds.
const STREAMS: u32 = 64;

/// Bytes of request bodies that a client may send before they are read, on one stream and in total.
const WINDOW: [u32; 2] = [128 << 10, 256 << 10];

/// Bytes of an answer that wait for the socket, per stream.
const SEND_BUFFER: usize = 32 << 10;

/// The most bytes of a request's headers.
const HEADERS: u32 = 16 << 10;

/// Streams that a client may reset before they are accepted, and that we may reset because of its errors, before the
/// connection is closed: CVE-2023-44487 and CVE-2025-8671.
const RESETS: [usize; 2] = [20, 128];

/// How often a connection without traffic is pinged, and how long it has to answer.
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

/// Whether a stream's client reads its answer.
pub(super) struct Taking {
    /// Since when a piece has been waiting.
    since: Moment,
}

impl Taking {
    /// The one of the current task's stream; `None` in HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        TAKING.try_with(Arc::clone).ok()
    }

    pub(super) fn offered(&self) {
        self.since.set();
    }

    pub(super) fn taken(&self) {
        self.since.clear();
    }

    /// Resolves when a piece has waited for longer than `limit`.
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
    /// How long a client may go without reading its answer.
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
                () = watched.stalled(patience) => tracing::debug!("an answer was ended because its client does not read it"),
            }
        }));
    }
}
