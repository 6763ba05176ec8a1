//! Errors that the device reports asynchronously: losses, and errors in error scopes.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use crate::error::one_line;
use crate::{Error, Result};

/// The first error that was not yet returned, and whether the device was lost.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lost: Option<String>,
    pending: Option<Error>,
    /// The wakers that wait for a loss, by number.
    waiting: BTreeMap<u64, Waker>,
    /// The next number.
    waited: u64,
}

/// Resolves when the device is lost, after which pending results may never arrive. It unregisters itself when it is
/// dropped.
pub(crate) struct Loss {
    faults: Faults,
    number: Option<u64>,
}

impl Future for Loss {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut inner = this.faults.0.lock();
        if inner.lost.is_some() {
            return Poll::Ready(());
        }
        let number = *this.number.get_or_insert_with(|| {
            inner.waited += 1;
            inner.waited
        });
        let former = inner.waiting.insert(number, task.waker().clone());
        // Dropping a task's last waker drops the task, which may lock again.
        drop(inner);
        drop(former);
        Poll::Pending
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.faults.0.lock().waiting.remove(&number);
            drop(waker);
        }
    }
}

/// How long a browser may take to report a loss after failing the pending calls.
#[cfg(target_arch = "wasm32")]
const LATE_MILLISECONDS: u32 = 2000;

impl Faults {
    /// Installs the error handlers of `device`.
    pub(crate) fn watch(&self, device: &wgpu::Device) {
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                wgpu::DeviceLostReason::Destroyed => "destroyed".to_owned(),
                wgpu::DeviceLostReason::Unknown if message.is_empty() => "no reason given".to_owned(),
                wgpu::DeviceLostReason::Unknown => one_line(&message),
            };
            faults.lose(&reason);
        });
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            faults.store(Error::Device { reason: one_line(&error.to_string()) });
        }));
    }

    /// Fails if the device is lost, or with the first error that was reported since the last call.
    pub(crate) fn check(&self) -> Result<()> {
        let mut inner = self.0.lock();
        if let Some(reason) = &inner.lost {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        inner.pending.take().map_or(Ok(()), Err)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lock().lost.is_some()
    }

    pub(crate) fn lose(&self, reason: &str) {
        let mut inner = self.0.lock();
        inner.lost.get_or_insert_with(|| reason.to_owned());
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    /// A future that resolves when the device is lost.
    pub(crate) fn loss(&self) -> Loss {
        Loss { faults: self.clone(), number: None }
    }

    /// Waits for `done` or for the loss of the device.
    #[cfg(target_arch = "wasm32")]
    pub(crate) async fn unless_lost(&self, done: impl Future) {
        let mut done = std::pin::pin!(done);
        let mut loss = self.loss();
        std::future::poll_fn(|task| match done.as_mut().poll(task) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Pin::new(&mut loss).poll(task),
        })
        .await;
    }

    /// Calls `tell` with a failure after waiting for a loss that may have caused it: a browser reports a failed map
    /// before the loss of the device.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn after_loss(&self, tell: impl FnOnce() + 'static) {
        let faults = self.clone();
        wasm_bindgen_futures::spawn_local(async move {
            faults.unless_lost(crate::web::sleep(LATE_MILLISECONDS)).await;
            tell();
        });
    }

    fn store(&self, error: Error) {
        self.0.lock().pending.get_or_insert(error);
    }

    /// Closes an error scope. Natively the result is available at once; in a browser a later call's `check` returns it.
    pub(crate) fn settle(
        &self,
        scope: wgpu::ErrorScopeGuard,
        describe: impl FnOnce(wgpu::Error) -> Error + 'static,
    ) -> Result<()> {
        let verdict = scope.pop();
        #[cfg(target_arch = "wasm32")]
        {
            let faults = self.clone();
            wasm_bindgen_futures::spawn_local(async move {
                if let Some(error) = verdict.await {
                    faults.store(describe(error));
                }
            });
            Ok(())
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            let mut verdict = std::pin::pin!(verdict);
            let mut context = TaskContext::from_waker(Waker::noop());
            match verdict.as_mut().poll(&mut context) {
                Poll::Ready(Some(error)) => Err(describe(error)),
                _ => Ok(()),
            }
        }
    }
}
