//! Tasks that clients wait for. A task is cancelled when nobody watches it any more.
//!
//! Watchers are counted, not connections: when a client leaves, even one behind the component or on another host, its
//! watcher is dropped. A client may also leave before it watches, while its task is being queued, so a task without a
//! watcher is cancelled after a moment.

use easel_jobs::{Jobs, TaskId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a client may take to watch its task.
const SOON: Duration = Duration::from_secs(5);

/// Cancels a task.
type Cancel = dyn Fn(TaskId) + Send + Sync;

/// The tasks that clients wait for.
pub(super) struct Attended {
    /// The number of watchers of each.
    watchers: Mutex<HashMap<TaskId, usize>>,
    soon: Duration,
    cancel: Box<Cancel>,
}

/// A watcher of a task, until it is dropped.
pub(super) struct Watching {
    attended: Arc<Attended>,
    task: TaskId,
    /// Whether the watcher has seen the end.
    pub(super) has_ended: bool,
}

impl Attended {
    /// For the tasks of a queue.
    pub(super) fn of(jobs: &Arc<Jobs>) -> Arc<Self> {
        let jobs = Arc::downgrade(jobs);
        Self::new(SOON, move |task| {
            let (Some(jobs), Ok(runtime)) = (jobs.upgrade(), Handle::try_current()) else { return };
            // Cancelling waits for the disk, which the threads that drop watchers must not.
            runtime.spawn_blocking(move || match jobs.cancel(task) {
                Ok(()) => tracing::info!(%task, "cancelled: its client has left"),
                // The task has ended by itself or was deleted.
                Err(easel_jobs::Error::AlreadyEnded { .. } | easel_jobs::Error::UnknownTask { .. }) => {}
                Err(error) => tracing::warn!(%task, %error, "not cancelled, although its client has left"),
            });
        })
    }

    fn new(soon: Duration, cancel: impl Fn(TaskId) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { watchers: Mutex::default(), soon, cancel: Box::new(cancel) })
    }

    /// Adds a queued task whose client will watch it. Needs a tokio runtime.
    pub(super) fn expect(self: &Arc<Self>, task: TaskId) {
        self.watchers.lock().insert(task, 0);
        let attended = Arc::downgrade(self);
        let soon = self.soon;
        tokio::spawn(async move {
            tokio::time::sleep(soon).await;
            if let Some(attended) = attended.upgrade() {
                attended.give_up(task);
            }
        });
    }

    /// A watcher of a task, if a client waits for it.
    pub(super) fn watch(self: &Arc<Self>, task: TaskId) -> Option<Watching> {
        *self.watchers.lock().get_mut(&task)? += 1;
        Some(Watching { attended: Arc::clone(self), task, has_ended: false })
    }

    /// Cancels a task that has no watcher.
    fn give_up(&self, task: TaskId) {
        let mut watchers = self.watchers.lock();
        if watchers.get(&task) == Some(&0) {
            watchers.remove(&task);
            drop(watchers);
            (self.cancel)(task);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watchers = self.attended.watchers.lock();
        if self.has_ended {
            watchers.remove(&self.task);
            return;
        }
        if let Some(count) = watchers.get_mut(&self.task) {
            *count -= 1;
        }
        drop(watchers);
        self.attended.give_up(self.task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn attended() -> (Arc<Attended>, Arc<Mutex<Vec<TaskId>>>) {
        let cancelled = Arc::<Mutex<Vec<TaskId>>>::default();
        let log = Arc::clone(&cancelled);
        (Attended::new(SHORT, move |task| log.lock().push(task)), cancelled)
    }

    fn task() -> TaskId {
        "00000000-0000-4000-8000-000000000001".parse().unwrap()
    }

    #[tokio::test]
    async fn f11_a_task_is_cancelled_when_the_last_watcher_leaves() {
        let (attended, cancelled) = attended();
        assert!(attended.watch(task()).is_none(), "nobody waits for it");
        attended.expect(task());
        let first = attended.watch(task());
        let second = attended.watch(task());
        drop(first);
        tokio::time::sleep(2 * SHORT).await;
        assert!(cancelled.lock().is_empty(), "one still watches");
        drop(second);
        assert_eq!(*cancelled.lock(), [task()]);
    }

    #[tokio::test]
    async fn f11_a_task_whose_client_left_while_it_was_queued_is_cancelled() {
        let (attended, cancelled) = attended();
        attended.expect(task());
        tokio::time::sleep(3 * SHORT).await;
        assert_eq!(*cancelled.lock(), [task()]);
    }

    #[tokio::test]
    async fn a_task_that_has_ended_is_not() {
        let (attended, cancelled) = attended();
        attended.expect(task());
        attended.watch(task()).unwrap().has_ended = true;
        tokio::time::sleep(3 * SHORT).await;
        assert!(cancelled.lock().is_empty());
    }
}
