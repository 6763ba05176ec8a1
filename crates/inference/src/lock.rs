//! The one way to take a lock. A panic elsewhere does not make what a lock guards unusable: nothing here is left half-changed.
//!
//! The locks are the standard library's: those of `parking_lot` cannot wait in WebAssembly threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for a lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
