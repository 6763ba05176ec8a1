//! Taking a lock, also after a panic elsewhere: no data behind a lock is ever left half-changed.
//!
//! The locks are those of the standard library, because those of `parking_lot` cannot wait in WebAssembly threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for a lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
