//! Points in time that many threads set and read: milliseconds of the process's own clock, in an atomic integer.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The value of an unset moment.
const NEVER: u64 = 0;

/// Milliseconds since the clock was first read, counted from 1.
fn milliseconds() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// A point in time, or unset.
#[derive(Debug)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    pub(super) fn now() -> Self {
        Self(AtomicU64::new(milliseconds()))
    }

    pub(super) fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// Sets it to now.
    pub(super) fn set(&self) {
        self.0.store(milliseconds(), Ordering::Relaxed);
    }

    /// Sets it to now, unless it is set.
    pub(super) fn begin(&self) {
        if self.0.load(Ordering::Relaxed) == NEVER {
            self.set();
        }
    }

    pub(super) fn clear(&self) {
        self.0.store(NEVER, Ordering::Relaxed);
    }

    /// A number that grows with time.
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }

    /// How long ago it was, if set.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.get().map(|at| Duration::from_millis(milliseconds().saturating_sub(at)))
    }

    /// Whether it is set and longer ago than `limit`.
    pub(super) fn is_past(&self, limit: Duration) -> bool {
        self.elapsed().is_some_and(|elapsed| elapsed > limit)
    }
}
