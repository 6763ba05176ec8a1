//! Sessions that clients share: the model that is chosen in each, and the tasks that were handed in under its name. They live
//! as long as the process: after a restart no client waits for a task any more.

use easel_jobs::{Jobs, Status, Task, TaskId};
use parking_lot::Mutex;
use std::collections::HashMap;

/// The most sessions that are kept. There is one for each key, and one without.
const MOST: usize = 1000;

/// How many tasks a session may have before those that have ended are forgotten.
const TASKS: usize = 64;

/// The sessions of a service.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Kept>>);

#[derive(Default)]
struct Kept {
    model: Option<String>,
    /// In the order in which they came.
    tasks: Vec<TaskId>,
}

impl Sessions {
    /// The model that was chosen.
    pub(super) fn model(&self, session: &str) -> Option<String> {
        self.0.lock().get(session)?.model.clone()
    }

    /// Chooses a model.
    pub(super) fn select(&self, session: String, model: String) {
        self.change(session, |kept| kept.model = Some(model));
    }

    /// A task was queued.
    pub(super) fn add(&self, session: &str, task: TaskId, jobs: &Jobs) {
        let mut count = 0;
        self.change(session.to_owned(), |kept| {
            kept.tasks.push(task);
            count = kept.tasks.len();
        });
        if count > TASKS {
            self.forget_ended(session, jobs);
        }
    }

    /// The task in progress, or else the first one that waits.
    pub(super) fn task(&self, session: &str, jobs: &Jobs) -> Option<Task> {
        let tasks = self.forget_ended(session, jobs);
        let at_work = tasks.iter().position(|task| task.status == Status::Processing);
        tasks.into_iter().nth(at_work.unwrap_or(0))
    }

    /// The tasks that have not ended; all others are forgotten.
    fn forget_ended(&self, session: &str, jobs: &Jobs) -> Vec<Task> {
        let known = self.0.lock().get(session).map(|kept| kept.tasks.clone()).unwrap_or_default();
        // The store is asked without the lock: it may take a while.
        let found = known.iter().filter_map(|id| jobs.task(*id).ok());
        let tasks: Vec<Task> = found.filter(|task| !task.status.is_end()).collect();
        let has_ended = |id: &TaskId| known.contains(id) && tasks.iter().all(|task| task.id != *id);
        if let Some(kept) = self.0.lock().get_mut(session) {
            kept.tasks.retain(|id| !has_ended(id));
        }
        tasks
    }

    fn change(&self, session: String, change: impl FnOnce(&mut Kept)) {
        let mut sessions = self.0.lock();
        if sessions.len() >= MOST && !sessions.contains_key(&session) {
            sessions.retain(|_, kept| !kept.tasks.is_empty());
        }
        change(sessions.entry(session).or_default());
    }
}
