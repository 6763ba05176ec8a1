//! The models in memory: loaded when a task needs them, shared by the tasks that use them at the same time, and dropped when
//! they have been idle for long enough or others need the room ([`super::policy`]).
//!
//! Tasks that cannot go on wait in one line, in the order in which they came, so that none waits for ever. Those that wait
//! hold nothing, and those that hold something wait for nobody, so none can block another for ever.

use super::policy::{self, Bounds, Place, Size, Step, Wanted};
use crate::serve::metrics::{ModelMetrics, Reason};
use crate::serve::target::Target;
use easel_inference::pipeline::Keeping;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a task that waits looks whether it was cancelled.
const PAUSE: Duration = Duration::from_millis(50);

/// Models of type `M` in memory.
pub(super) struct Manager<M> {
    shared: Arc<Shared<M>>,
    /// The thread that drops idle models, if any ever leave.
    janitor: Option<JoinHandle<()>>,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
    metrics: ModelMetrics,
}

struct State<M> {
    held: Vec<Held<M>>,
    /// The tasks that wait, by number.
    line: VecDeque<u64>,
    /// The next number, of a model or of a task that waits.
    next: u64,
    is_closed: bool,
}

struct Held<M> {
    number: u64,
    place: Place,
    /// `None` while it is being loaded.
    model: Option<Arc<M>>,
}

/// Why a task has no model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal<E> {
    /// It was cancelled while it waited.
    Stopped,
    /// It takes more than this many bytes, which is all there is.
    NoRoom(u64),
    /// The model cannot be loaded.
    Failed(E),
}

/// A model while a task uses it.
pub(in crate::serve) struct Lease<M> {
    // Dropped first, so that a model that nobody uses is free to leave.
    model: Arc<M>,
    _use: Option<Use<M>>,
}

impl<M> Lease<M> {
    /// A model that takes no memory to speak of, and is nobody else's.
    pub(super) fn of(model: M) -> Self {
        Self { model: Arc::new(model), _use: None }
    }
}

impl<M> Deref for Lease<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

/// The use of a model, which ends when this is dropped.
struct Use<M> {
    shared: Arc<Shared<M>>,
    number: u64,
    work: u64,
}

impl<M> Drop for Use<M> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(place) = state.place(self.number) {
            place.users -= 1;
            place.size.work -= self.work;
            place.used = Instant::now();
        }
        self.shared.tell(&state);
    }
}

/// A model that is being loaded. It is forgotten if that fails, even by a panic.
struct Loading<M> {
    shared: Arc<Shared<M>>,
    number: u64,
    is_done: bool,
}

impl<M> Loading<M> {
    /// It was loaded, or not.
    fn finish<E>(mut self, work: u64, loaded: Result<M, E>) -> Result<Lease<M>, Refusal<E>> {
        let model = Arc::new(loaded.map_err(Refusal::Failed)?);
        self.is_done = true;
        let shared = Arc::clone(&self.shared);
        let number = self.number;
        let mut state = shared.state.lock();
        if let Some(held) = state.held.iter_mut().find(|held| held.number == number) {
            held.model = Some(Arc::clone(&model));
            held.place.is_loading = false;
            held.place.used = Instant::now();
        }
        shared.metrics.loads.inc();
        shared.tell(&state);
        drop(state);
        Ok(Lease { model, _use: Some(Use { shared, number, work }) })
    }
}

impl<M> Drop for Loading<M> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.shared.state.lock();
            state.held.retain(|held| held.number != self.number);
            self.shared.metrics.failures.inc();
            self.shared.tell(&state);
        }
    }
}

/// The place of a task in the line, until it is dropped.
struct Waiting<'a, M> {
    shared: &'a Shared<M>,
    number: u64,
}

impl<M> Drop for Waiting<'_, M> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.line.retain(|number| *number != self.number);
        self.shared.tell(&state);
    }
}

impl<M: Send + Sync + 'static> Manager<M> {
    /// No models yet. Idle ones leave after this time, or never.
    pub(super) fn new(unload_after: Option<Duration>, metrics: ModelMetrics) -> std::io::Result<Self> {
        let state = State { held: Vec::new(), line: VecDeque::new(), next: 0, is_closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), metrics });
        let spawn = |patience| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("easel-models".into()).spawn(move || shared.drop_idle(patience))
        };
        let janitor = unload_after.map(spawn).transpose()?;
        Ok(Self { shared, janitor })
    }

    /// A model for a task: one that is loaded, or else what `load` makes of the way in which its components are to be held.
    /// Waits until there is room for it. `bounds` gets the bytes of weights that are held now.
    pub(super) fn lease<E>(
        &self,
        wanted: &Wanted<'_>,
        bounds: impl Fn(u64) -> Bounds,
        should_stop: impl Fn() -> bool,
        load: impl FnOnce(Keeping) -> Result<M, E>,
    ) -> Result<Lease<M>, Refusal<E>> {
        let shared = &self.shared;
        let waiting = shared.stand_in_line();
        // Unlocked before the place in the line is given up, as it was locked afterwards.
        let mut state = shared.state.lock();
        loop {
            if should_stop() {
                return Err(Refusal::Stopped);
            }
            if state.line.front() == Some(&waiting.number) {
                let bounds = bounds(state.weights());
                match policy::next(&state.places(), wanted, bounds) {
                    Step::Use { index, leave, work } => {
                        if let Some(lease) = shared.enter(&mut state, index, work) {
                            let left = shared.dismiss(&mut state, &leave, Reason::Room);
                            shared.tell(&state);
                            drop(state);
                            drop(left);
                            return Ok(lease);
                        }
                    }
                    Step::Load { keeping, size, leave } => {
                        let left = shared.dismiss(&mut state, &leave, Reason::Room);
                        let loading = shared.begin(&mut state, wanted, keeping, size);
                        drop(state);
                        // They are gone before the new one comes, and before anybody else is next in the line.
                        drop(left);
                        drop(waiting);
                        return loading.finish(size.work, load(keeping));
                    }
                    Step::Refuse => return Err(Refusal::NoRoom(bounds.memory.unwrap_or(u64::MAX))),
                    Step::Wait => {}
                }
            }
            shared.changed.wait_for(&mut state, PAUSE);
        }
    }

    /// The models that are loaded, and where.
    pub(super) fn loaded(&self) -> Vec<(String, Target)> {
        let state = self.shared.state.lock();
        let loaded = state.held.iter().map(|held| &held.place).filter(|place| !place.is_loading);
        loaded.map(|place| (place.model.clone(), place.device)).collect()
    }

    /// The bytes of weights that would be free if all models left.
    pub(super) fn weights(&self) -> u64 {
        self.shared.state.lock().weights()
    }
}

impl<M> Drop for Manager<M> {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(janitor) = self.janitor.take() {
            // If it panicked, it has nothing left to do.
            let _ = janitor.join();
        }
    }
}

impl<M> State<M> {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn places(&self) -> Vec<Place> {
        self.held.iter().map(|held| held.place.clone()).collect()
    }

    fn place(&mut self, number: u64) -> Option<&mut Place> {
        self.held.iter_mut().find(|held| held.number == number).map(|held| &mut held.place)
    }

    /// The bytes of the weights of all loaded models.
    fn weights(&self) -> u64 {
        let loaded = self.held.iter().filter(|held| !held.place.is_loading);
        loaded.map(|held| held.place.size.weights).sum()
    }
}

impl<M> Shared<M> {
    /// Puts a task at the end of the line.
    fn stand_in_line(&self) -> Waiting<'_, M> {
        let mut state = self.state.lock();
        let number = state.number();
        state.line.push_back(number);
        Waiting { shared: self, number }
    }

    /// Takes models out of the list and hands them to the caller, who drops them.
    fn dismiss(&self, state: &mut State<M>, indices: &[usize], reason: Reason) -> Vec<Arc<M>> {
        let mut left = Vec::new();
        for index in indices.iter().rev() {
            let held = state.held.remove(*index);
            tracing::info!(model = held.place.model, reason = reason.name(), "a model leaves memory");
            self.metrics.left(reason);
            left.extend(held.model);
        }
        if !indices.is_empty() {
            self.tell(state);
        }
        left
    }

    /// Says what has changed.
    fn tell(&self, state: &State<M>) {
        let all = state.held.iter().map(|held| held.place.size);
        let bytes = all.fold(0u64, |sum, size| sum.saturating_add(size.weights).saturating_add(size.work));
        let loaded = state.held.iter().filter(|held| !held.place.is_loading).count();
        self.metrics.held(loaded, bytes);
        self.changed.notify_all();
    }

    /// Drops models that were idle for this long, until the end.
    fn drop_idle(&self, patience: Duration) {
        let mut state = self.state.lock();
        while !state.is_closed {
            let now = Instant::now();
            let idle = |held: &Held<M>| held.place.users == 0;
            let is_due = |held: &Held<M>| idle(held) && now.duration_since(held.place.used) >= patience;
            let due: Vec<usize> = (0..state.held.len()).filter(|index| is_due(&state.held[*index])).collect();
            if !due.is_empty() {
                // With the lock, since a task that finds their room free may load another one at once.
                drop(self.dismiss(&mut state, &due, Reason::Idle));
                continue;
            }
            let first = state.held.iter().filter(|held| idle(held)).map(|held| held.place.used).min();
            match first.and_then(|used| used.checked_add(patience)) {
                Some(until) => {
                    self.changed.wait_until(&mut state, until);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }
}

/// What needs to share the state for longer.
impl<M> Shared<M> {
    /// A task begins to use the model at this index; `None` if that is still being loaded. The caller says so once the models
    /// have left that make room for it: nobody shall see both.
    fn enter(self: &Arc<Self>, state: &mut State<M>, index: usize, work: u64) -> Option<Lease<M>> {
        let held = state.held.get_mut(index)?;
        let model = Arc::clone(held.model.as_ref()?);
        held.place.users += 1;
        held.place.size.work += work;
        held.place.used = Instant::now();
        let number = held.number;
        let shared = Arc::clone(self);
        Some(Lease { model, _use: Some(Use { shared, number, work }) })
    }

    /// A model begins to be loaded, for one task.
    fn begin(self: &Arc<Self>, state: &mut State<M>, wanted: &Wanted<'_>, keeping: Keeping, size: Size) -> Loading<M> {
        let number = state.number();
        let model = wanted.model.to_owned();
        let device = wanted.device;
        let used = Instant::now();
        let place = Place { model, device, keeping, size, users: 1, is_loading: true, used };
        state.held.push(Held { number, place, model: None });
        self.tell(state);
        Loading { shared: Arc::clone(self), number, is_done: false }
    }
}

#[cfg(test)]
mod tests;
