//! Waiting for asynchronous work from any thread, even one of another runtime.

use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much longer than the work itself its caller waits.
const MARGIN: Duration = Duration::from_millis(500);

/// Runs work on the store's runtime.
#[derive(Clone)]
pub(super) struct Waiter(Handle);

impl Waiter {
    pub(super) fn new(runtime: Handle) -> Self {
        Self(runtime)
    }

    /// The work's result; `None` if it was abandoned because it took too long.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.0.spawn(async move {
            // The caller may have given up.
            let _ = answer.send(timeout(patience, work).await.ok());
        });
        answered.recv_timeout(patience + MARGIN).ok().flatten()
    }

    /// Does not wait.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_abandoned() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let waiter = Waiter::new(runtime.handle().clone());
        assert_eq!(waiter.wait(Duration::from_secs(5), async { 7 }), Some(7));
        let slow = waiter.wait(Duration::from_millis(10), async { tokio::time::sleep(Duration::from_secs(60)).await });
        assert_eq!(slow, None);
    }

    #[tokio::test]
    async fn a_thread_of_another_runtime_may_wait() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let waiter = Waiter::new(runtime.handle().clone());
        assert_eq!(waiter.wait(Duration::from_secs(5), async { 7 }), Some(7));
        runtime.shutdown_background();
    }
}
