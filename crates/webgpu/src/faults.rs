//! Errors that the device reports on its own time: losses, and what error scopes find.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::one_line;
use crate::{Error, Result};

/// The first error that nobody has seen yet, and whether the device is gone.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lost: Option<String>,
    pending: Option<Error>,
}

impl Faults {
    /// Takes over all error reporting of `device`.
    pub(crate) fn watch(&self, device: &wgpu::Device) {
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                wgpu::DeviceLostReason::Destroyed => "destroyed".to_owned(),
                wgpu::DeviceLostReason::Unknown if message.is_empty() => "no reason given".to_owned(),
                wgpu::DeviceLostReason::Unknown => one_line(&message),
            };
            faults.lock().lost.get_or_insert(reason);
        });
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            faults.store(Error::Device { reason: one_line(&error.to_string()) });
        }));
    }

    /// Fails if the device is lost, or with the first error that was reported since the last call.
    pub(crate) fn check(&self) -> Result<()> {
        let mut inner = self.lock();
        if let Some(reason) = &inner.lost {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        inner.pending.take().map_or(Ok(()), Err)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    pub(crate) fn lose(&self, reason: &str) {
        self.lock().lost.get_or_insert_with(|| reason.to_owned());
    }

    fn store(&self, error: Error) {
        self.lock().pending.get_or_insert(error);
    }

    /// Closes an error scope: natively the verdict is there at once, in a browser it comes with a later call's `check`.
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
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match verdict.as_mut().poll(&mut context) {
                std::task::Poll::Ready(Some(error)) => Err(describe(error)),
                _ => Ok(()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
