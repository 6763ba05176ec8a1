//! What a connection is doing, recorded by its stream and its answers, and checked against the timeouts.
//!
//! A client may be slow in four ways: with the head of a request, with its body, with reading the answer, and between
//! two requests. Each has a timeout. All fields are atomic, because the stream, every answer and the sweep access them.

use super::clock::Moment;
use crate::serve::Timeouts;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A client that pauses for less than this does not count as stalled, however full the server is.
const PAUSE: Duration = Duration::from_secs(1);

/// What a connection is doing.
pub(super) struct Activity {
    opened: Moment,
    /// Requests with unfinished answers.
    requests: AtomicUsize,
    /// Whether any head was complete.
    had_request: AtomicBool,
    /// HTTP/2 has several requests at a time, so that bytes between them need not be part of a head.
    is_http2: AtomicBool,
    /// When the last answer ended.
    idle: Moment,
    /// When the first byte of an unfinished head arrived.
    head: Moment,
    /// Unfinished request bodies, and when the first of them began.
    uploads: AtomicUsize,
    upload: Moment,
    /// Since when the socket has accepted no bytes.
    blocked: Moment,
    /// Pieces of answers that the client has not read yet, and when it last read one.
    waiting: AtomicUsize,
    taken: Moment,
    close: Notify,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No complete head arrived.
    Head,
    /// A body did not end.
    Body,
    /// The client does not read its answer.
    Answer,
    /// No further request arrived.
    Idle,
}

/// The priority for keeping a connection when the server is full; the lowest is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// No request in progress, since this time.
    Idle(u64),
    /// Its client has not read since this time.
    Stalled(u64),
    /// Its client has been sending a body since this time.
    Uploading(u64),
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            opened: Moment::now(),
            requests: AtomicUsize::new(0),
            had_request: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            idle: Moment::never(),
            head: Moment::never(),
            uploads: AtomicUsize::new(0),
            upload: Moment::never(),
            blocked: Moment::never(),
            waiting: AtomicUsize::new(0),
            taken: Moment::now(),
            close: Notify::new(),
        }
    }

    /// Records received bytes.
    pub(super) fn received(&self) {
        if self.requests.load(Ordering::Relaxed) == 0 {
            self.head.begin();
        }
    }

    /// Records whether the socket accepted bytes.
    pub(super) fn sent(&self, taken: bool) {
        if taken { self.blocked.clear() } else { self.blocked.begin() }
    }

    /// Records a complete head.
    pub(super) fn request_began(&self, is_http2: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.had_request.store(true, Ordering::Relaxed);
        self.is_http2.store(is_http2, Ordering::Relaxed);
        self.head.clear();
    }

    /// Records that an answer has ended or was dropped.
    pub(super) fn request_ended(&self) {
        self.idle.set();
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn upload_began(&self) {
        if self.uploads.fetch_add(1, Ordering::Relaxed) == 0 {
            self.upload.set();
        }
    }

    pub(super) fn upload_ended(&self) {
        self.uploads.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that a piece of an answer waits for the client.
    pub(super) fn piece_offered(&self) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            self.taken.set();
        }
    }

    /// Records that the piece was read, or its answer dropped.
    pub(super) fn piece_taken(&self) {
        self.taken.set();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks the connection to end.
    pub(super) fn close(&self) {
        self.close.notify_one();
    }

    /// Resolves when the connection is asked to end.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// Which timeout has passed, if any.
    pub(super) fn overdue(&self, timeouts: &Timeouts) -> Option<Overdue> {
        if self.blocked.is_past(timeouts.answer) {
            return Some(Overdue::Answer);
        }
        if self.uploads.load(Ordering::Relaxed) > 0 && self.upload.is_past(timeouts.upload) {
            return Some(Overdue::Body);
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if !self.had_request.load(Ordering::Relaxed) {
            return self.opened.is_past(timeouts.header).then_some(Overdue::Head);
        }
        if !self.is_http2.load(Ordering::Relaxed) && self.head.is_past(timeouts.header) {
            return Some(Overdue::Head);
        }
        self.idle.is_past(timeouts.idle).then_some(Overdue::Idle)
    }

    /// The priority for keeping this connection; `None` if it must be kept, because its client waits for us.
    pub(super) fn worth(&self) -> Option<Worth> {
        if self.requests.load(Ordering::Relaxed) == 0 {
            let since = self.idle.get().or(self.opened.get());
            return Some(Worth::Idle(since.unwrap_or_default()));
        }
        if let Some(since) = self.blocked.get().filter(|_| self.blocked.is_past(PAUSE)) {
            return Some(Worth::Stalled(since));
        }
        if self.waiting.load(Ordering::Relaxed) > 0 && self.taken.is_past(PAUSE) {
            return self.taken.get().map(Worth::Stalled);
        }
        let uploads = self.uploads.load(Ordering::Relaxed) > 0 && self.upload.is_past(PAUSE);
        self.upload.get().filter(|_| uploads).map(Worth::Uploading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Timeouts = Timeouts {
        header: Duration::from_millis(1),
        body: Duration::from_secs(1),
        upload: Duration::from_millis(1),
        answer: Duration::from_millis(1),
        idle: Duration::from_millis(1),
    };

    fn wait() {
        std::thread::sleep(Duration::from_millis(3));
    }

    #[test]
    fn each_way_of_being_slow_has_a_timeout() {
        let activity = Activity::new();
        wait();
        assert_eq!(activity.overdue(&SHORT), Some(Overdue::Head), "no byte");
        activity.request_began(false);
        assert_eq!(activity.overdue(&SHORT), None, "it is our turn");
        activity.upload_began();
        wait();
        assert_eq!(activity.overdue(&SHORT), Some(Overdue::Body));
        activity.upload_ended();
        activity.sent(false);
        wait();
        assert_eq!(activity.overdue(&SHORT), Some(Overdue::Answer));
        activity.sent(true);
        activity.request_ended();
        wait();
        assert_eq!(activity.overdue(&SHORT), Some(Overdue::Idle));
        activity.received();
        wait();
        assert_eq!(activity.overdue(&SHORT), Some(Overdue::Head), "half a head");
    }

    #[test]
    fn a_connection_with_a_waiting_client_is_kept() {
        let activity = Activity::new();
        assert!(matches!(activity.worth(), Some(Worth::Idle(_))));
        activity.request_began(true);
        assert_eq!(activity.worth(), None);
        activity.piece_offered();
        activity.piece_taken();
        assert_eq!(activity.worth(), None);
        assert!(Worth::Idle(9) < Worth::Stalled(1) && Worth::Stalled(9) < Worth::Uploading(1));
    }
}
