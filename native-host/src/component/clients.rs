//! The clients of the requests that an instance answers: a component cannot be told that one has left (wasmtime has no way
//! to cancel a guest's task), so the calls that it makes and the streams that it reads for that client end.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::component::GuestTaskId;

/// Resolves to `true` when a client has left before its answer began, and to `false` when its answer begins.
pub(super) type Left = Shared<BoxFuture<'static, bool>>;

/// The clients of an instance, by the tasks of the guest that answer them.
#[derive(Clone, Default)]
pub(super) struct Clients(Arc<Mutex<HashMap<GuestTaskId, Left>>>);

impl Clients {
    /// Adds the client of a request. `answered` gets a value when its answer begins, and is closed when it has left.
    pub(super) fn add(&self, task: GuestTaskId, answered: oneshot::Receiver<()>) -> Left {
        let left = answered.map(|answered| answered.is_err()).boxed().shared();
        let mut clients = self.0.lock();
        clients.retain(|_, left| left.clone().now_or_never() != Some(false));
        clients.insert(task, left.clone());
        left
    }

    /// The client on whose behalf the guest calls; `None` if its answer has begun.
    pub(super) fn of(&self, mut calls: impl Iterator<Item = GuestTaskId>) -> Option<Left> {
        let clients = self.0.lock();
        calls.find_map(|task| clients.get(&task).cloned())
    }
}
