//! Health checks: simultaneous probes share one check, and none waits for it longer than a deadline.

use easel_contract::service::Health;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a good result is reused, so that many probes cost no more than one.
const HEALTHY: Duration = Duration::from_millis(500);

/// How long a check may take; a stuck disk takes forever.
const PATIENCE: Duration = Duration::from_secs(3);

/// An engine without progress for this long may be stuck or busy with something large, which is logged.
pub(super) const SILENT: Duration = Duration::from_secs(600);

/// The last check, and whether one is running.
pub(super) struct Checks {
    patience: Duration,
    last: Mutex<Option<Checked>>,
    /// Held by the probe that runs the check; the others wait for its result.
    asking: tokio::sync::Mutex<()>,
    is_running: Arc<AtomicBool>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            last: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            is_running: Arc::default(),
        }
    }
}

#[derive(Clone)]
struct Checked {
    began: Instant,
    health: Health,
}

impl Checks {
    /// The current health, or that of a moment ago.
    pub(super) async fn health(&self, check: impl FnOnce() -> Health + Send + 'static) -> Health {
        let came = Instant::now();
        if let Some(health) = self.since(came) {
            return health;
        }
        let _asking = self.asking.lock().await;
        if let Some(health) = self.since(came) {
            return health;
        }
        let began = Instant::now();
        let health = self.ask(check).await;
        *self.last.lock() = Some(Checked { began, health: health.clone() });
        health
    }

    /// The last result, if it is good and fresh, or if its check began after `came`.
    fn since(&self, came: Instant) -> Option<Health> {
        let last = self.last.lock();
        let fits = |last: &&Checked| last.began >= came || last.health.is_healthy() && last.began.elapsed() < HEALTHY;
        last.as_ref().filter(fits).map(|last| last.health.clone())
    }

    async fn ask(&self, check: impl FnOnce() -> Health + Send + 'static) -> Health {
        // A stuck check blocks a thread; a second one would block another.
        if self.is_running.swap(true, Ordering::AcqRel) {
            return timed_out();
        }
        let is_running = Arc::clone(&self.is_running);
        let checked = tokio::task::spawn_blocking(move || {
            let health = check();
            is_running.store(false, Ordering::Release);
            health
        });
        match tokio::time::timeout(self.patience, checked).await {
            Ok(Ok(health)) => health,
            Ok(Err(error)) => {
                self.is_running.store(false, Ordering::Release);
                tracing::error!(%error, "the check of the store failed");
                problem("the check failed")
            }
            Err(_) => timed_out(),
        }
    }
}

fn timed_out() -> Health {
    problem("no answer in time")
}

fn problem(text: &str) -> Health {
    Health { checks: vec![("store".to_owned(), Some(text.to_owned()))] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    #[tokio::test]
    async fn f10_a_stuck_check_is_reported_and_blocks_one_thread() {
        let checks = Checks { patience: Duration::from_millis(20), ..Checks::default() };
        let (_release, stuck) = mpsc::channel::<()>();
        let first = checks.health(move || {
            let _ = stuck.recv();
            Health::default()
        });
        assert!(!first.await.is_healthy());
        let second = checks.health(|| unreachable!("the first is still running"));
        assert!(!second.await.is_healthy());
    }

    #[tokio::test]
    async fn f9_many_probes_cost_one_check() {
        let checks = Checks::default();
        let checked = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let checked = Arc::clone(&checked);
            let health = checks.health(move || {
                checked.fetch_add(1, Ordering::Relaxed);
                Health::default()
            });
            assert!(health.await.is_healthy());
        }
        assert_eq!(checked.load(Ordering::Relaxed), 1);
    }
}
