//! Whether every part works: asked once for all probes of a moment, and never waited for longer than a deadline.

use easel_contract::service::Health;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a good check counts, so that many probes cost no more than one.
const HEALTHY: Duration = Duration::from_millis(500);

/// How long a check may take; a disk that is stuck takes forever.
const PATIENCE: Duration = Duration::from_secs(3);

/// An engine that has said nothing for this long may be stuck, or at work on something large: the log says so.
pub(super) const SILENT: Duration = Duration::from_secs(600);

/// The last check, and whether one is at work.
pub(super) struct Checks {
    patience: Duration,
    last: Mutex<Option<Checked>>,
    /// Held by the probe that asks: the others wait for its answer.
    asking: tokio::sync::Mutex<()>,
    at_work: Arc<AtomicBool>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            last: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            at_work: Arc::default(),
        }
    }
}

#[derive(Clone)]
struct Checked {
    began: Instant,
    health: Health,
}

impl Checks {
    /// The health of this moment, or of a moment ago.
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

    /// The last answer, if it is good and fresh, or if it was asked for after `came`.
    fn since(&self, came: Instant) -> Option<Health> {
        let last = self.last.lock();
        let fits = |last: &&Checked| last.began >= came || last.health.is_healthy() && last.began.elapsed() < HEALTHY;
        last.as_ref().filter(fits).map(|last| last.health.clone())
    }

    async fn ask(&self, check: impl FnOnce() -> Health + Send + 'static) -> Health {
        // A check that is stuck keeps its thread: another one would keep another.
        if self.at_work.swap(true, Ordering::AcqRel) {
            return silent();
        }
        let at_work = Arc::clone(&self.at_work);
        let asked = tokio::task::spawn_blocking(move || {
            let health = check();
            at_work.store(false, Ordering::Release);
            health
        });
        match tokio::time::timeout(self.patience, asked).await {
            Ok(Ok(health)) => health,
            Ok(Err(error)) => {
                self.at_work.store(false, Ordering::Release);
                tracing::error!(%error, "the check of the store failed");
                problem("the check failed")
            }
            Err(_) => silent(),
        }
    }
}

fn silent() -> Health {
    problem("no answer within its time")
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
    async fn f10_a_check_that_is_stuck_is_said_and_keeps_one_thread() {
        let checks = Checks { patience: Duration::from_millis(20), ..Checks::default() };
        let (_release, stuck) = mpsc::channel::<()>();
        let first = checks.health(move || {
            let _ = stuck.recv();
            Health::default()
        });
        assert!(!first.await.is_healthy());
        let second = checks.health(|| unreachable!("the first is at work"));
        assert!(!second.await.is_healthy());
    }

    #[tokio::test]
    async fn f9_many_probes_cost_one_check() {
        let checks = Checks::default();
        let asked = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let asked = Arc::clone(&asked);
            let health = checks.health(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                Health::default()
            });
            assert!(health.await.is_healthy());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
