//! Tasks in order, and their pictures. The clock and the engine belong to the caller.

use bytes::Bytes;
use easel_contract::Error;
use easel_contract::service::{
    Image, ImageFilter, ImageRequest, Page, Paging, Priority, Progress, Result, Run, Status, Task, TaskFilter,
    TaskSelection,
};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use std::time::SystemTime;

/// The most waiting tasks, and the seconds after which a refused client should retry.
const QUEUE: usize = 64;
const RETRY_AFTER: u32 = 5;

/// The most pictures to keep in memory. The oldest are dropped first.
const PICTURES: usize = 64;

/// The tasks and pictures of a worker.
#[derive(Default)]
pub(crate) struct TaskStore {
    entries: Vec<Entry>,
    pictures: Vec<(Image, Bytes)>,
    /// The latest run, and whether its picture was taken.
    run: Option<(String, bool)>,
    drawn: u64,
}

/// The id of a new task, and its seed if the request has none.
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) seed: u64,
}

/// A picture that was drawn.
pub(crate) struct Drawn {
    pub(crate) seed: u64,
    /// The file.
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
    pub(crate) media_type: &'static str,
}

/// Denoising steps of a task.
#[derive(Clone, Copy, Default)]
pub(crate) struct Steps {
    pub(crate) done: u32,
    pub(crate) of: u32,
}

struct Entry {
    task: Task,
    request: ImageRequest,
    priority: Priority,
    reports: u64,
    watchers: Vec<UnboundedSender<Progress>>,
}

impl Entry {
    fn report(&self, preview: Option<Bytes>) -> Progress {
        let Task { status, step, steps, ref error, .. } = self.task;
        Progress { sequence: self.reports, status, step, steps, preview, error: error.clone() }
    }

    /// Changes the task and reports it to the watchers. Watchers that left are dropped.
    fn change(&mut self, preview: Option<Bytes>, change: impl FnOnce(&mut Task)) {
        change(&mut self.task);
        self.reports += 1;
        let report = self.report(preview);
        self.watchers.retain(|watcher| watcher.unbounded_send(report.clone()).is_ok());
        if self.task.status.is_final() {
            self.watchers.clear();
        }
    }
}

impl TaskStore {
    /// Queues a task.
    pub(crate) fn submit(
        &mut self,
        request: ImageRequest,
        priority: Priority,
        identity: Identity,
        now: SystemTime,
    ) -> Result<Task> {
        if self.waiting() >= QUEUE {
            return Err(Error::QueueFull { retry_after: RETRY_AFTER });
        }
        let task = Task {
            id: identity.id,
            status: Status::Pending,
            step: 0,
            steps: request.steps.unwrap_or(0) * request.count,
            created_at: now,
            started_at: None,
            completed_at: None,
            prompt: request.prompt.clone(),
            seed: request.seed.unwrap_or(identity.seed),
            queue_position: None,
            error: None,
            images: Vec::new(),
        };
        self.entries.push(Entry { task: task.clone(), request, priority, reports: 0, watchers: Vec::new() });
        self.task(&task.id)
    }

    /// Queues a run, if no other one is in progress.
    pub(crate) fn run(&mut self, request: ImageRequest, identity: Identity, now: SystemTime) -> Result<Task> {
        self.check_no_run()?;
        let task = self.submit(request, Priority::Normal, identity, now)?;
        self.run = Some((task.id.clone(), false));
        Ok(task)
    }

    /// [`Error::RunInProgress`] if there is one.
    pub(crate) fn check_no_run(&self) -> Result<()> {
        match self.latest_run() {
            Some(run) if !run.task.status.is_final() => Err(Error::RunInProgress),
            _ => Ok(()),
        }
    }

    /// The task to start now: the first of the highest priority, unless one is in progress.
    pub(crate) fn begin(&mut self, now: SystemTime) -> Option<(Task, ImageRequest)> {
        if self.entries.iter().any(|entry| entry.task.status == Status::Processing) {
            return None;
        }
        let pending = self.entries.iter_mut().rev().filter(|entry| entry.task.status == Status::Pending);
        let next = pending.max_by_key(|entry| entry.priority as u8)?;
        next.change(None, |task| {
            task.status = Status::Processing;
            task.started_at = Some(now);
        });
        Some((next.task.clone(), next.request.clone()))
    }

    /// Notes progress of a task in progress.
    pub(crate) fn progress(&mut self, id: &str, steps: Steps, preview: Option<Bytes>) {
        if let Some(entry) = self.processing(id) {
            entry.change(preview, |task| {
                task.step = steps.done;
                task.steps = steps.of;
            });
        }
    }

    /// Stores a picture of a task in progress.
    pub(crate) fn picture(&mut self, id: &str, drawn: Drawn, now: SystemTime) {
        let number = self.drawn + 1;
        let Some(entry) = self.processing(id) else { return };
        entry.task.images.push(number);
        let task_id = id.to_owned();
        let prompt = entry.task.prompt.clone();
        let Drawn { seed, bytes, digest, media_type } = drawn;
        let size = bytes.len() as u64;
        let media_type = media_type.to_owned();
        self.drawn = number;
        let image = Image { id: number, task_id, prompt, seed, created_at: now, size, digest, media_type };
        self.pictures.push((image, bytes));
        if self.pictures.len() > PICTURES {
            self.pictures.remove(0);
        }
    }

    /// Ends a task in progress: completed, or failed for a reason.
    pub(crate) fn end(&mut self, id: &str, failure: Option<String>, now: SystemTime) {
        if let Some(entry) = self.processing(id) {
            entry.change(None, |task| {
                task.status = if failure.is_none() { Status::Completed } else { Status::Error };
                task.error = failure;
                task.completed_at = Some(now);
            });
        }
    }

    /// Cancels a task that has not ended.
    pub(crate) fn cancel(&mut self, id: &str, now: SystemTime) -> Result<()> {
        let entry = self.find_mut(id)?;
        if entry.task.status.is_final() {
            return Err(Error::TaskEnded { task_id: id.to_owned(), status: entry.task.status });
        }
        entry.change(None, |task| {
            task.status = Status::Cancelled;
            task.completed_at = Some(now);
        });
        Ok(())
    }

    /// Cancels a task that a client waits for after its last watcher has left. Returns whether it did.
    pub(crate) fn leave(&mut self, id: &str, now: SystemTime) -> bool {
        let Ok(entry) = self.find(id) else { return false };
        let is_watched = entry.watchers.iter().any(|watcher| !watcher.is_closed());
        entry.request.attended && !is_watched && self.cancel(id, now).is_ok()
    }

    /// A task as it is now, with its place in the queue.
    pub(crate) fn task(&self, id: &str) -> Result<Task> {
        let entry = self.find(id)?;
        let waiting = || self.entries.iter().filter(|other| other.task.status == Status::Pending);
        let own = entry.priority as u8;
        let urgent = waiting().filter(|other| other.priority as u8 > own).count();
        let earlier = waiting().filter(|other| other.priority as u8 == own).position(|other| other.task.id == id);
        Ok(Task { queue_position: earlier.map(|earlier| (urgent + earlier) as u32), ..entry.task.clone() })
    }

    /// The task of a session that is in progress, or else its first waiting task.
    pub(crate) fn task_of(&self, session: &str) -> Option<Task> {
        let own = |entry: &&Entry| entry.request.session.as_deref() == Some(session);
        let with = |status: Status| self.entries.iter().filter(own).find(|entry| entry.task.status == status);
        let entry = with(Status::Processing).or_else(|| with(Status::Pending))?;
        self.task(&entry.task.id).ok()
    }

    /// A page of tasks, newest first.
    pub(crate) fn tasks(&self, filter: &TaskFilter) -> Page<Task> {
        let fits = |entry: &&Entry| filter.status.is_none_or(|status| entry.task.status == status);
        page(self.entries.iter().rev().filter(fits).filter_map(|entry| self.task(&entry.task.id).ok()), filter.paging)
    }

    /// Reports of a task: its current state, if the watcher has not seen it, and every change.
    pub(crate) fn watch(&mut self, id: &str, after: Option<u64>) -> Result<UnboundedReceiver<Progress>> {
        let entry = self.find_mut(id)?;
        let (sender, receiver) = unbounded();
        let is_new = after.is_none_or(|seen| seen < entry.reports) || entry.task.status.is_final();
        if is_new && sender.unbounded_send(entry.report(None)).is_err() {
            return Err(Error::internal("a watcher left before it came"));
        }
        if !entry.task.status.is_final() {
            entry.watchers.push(sender);
        }
        Ok(receiver)
    }

    /// Deletes the selected tasks, except those that are waiting or in progress.
    pub(crate) fn delete(&mut self, selection: &TaskSelection) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|Entry { task, .. }| {
            let named = selection.ids.as_ref().is_none_or(|ids| ids.contains(&task.id));
            let fits = selection.status.is_none_or(|status| status == task.status);
            !(named && fits && task.status.is_final())
        });
        (before - self.entries.len()) as u64
    }

    /// The latest run.
    pub(crate) fn latest_run(&self) -> Option<Run> {
        let (id, taken) = self.run.as_ref()?;
        Some(Run { task: self.task(id).ok()?, taken: *taken })
    }

    /// The picture of the latest run, once.
    pub(crate) fn take_run(&mut self) -> Result<Image> {
        let run = self.latest_run().filter(|run| run.task.status == Status::Completed && !run.taken);
        let run = run.ok_or(Error::RunNotComplete)?;
        let image = self.image(*run.task.images.first().ok_or(Error::RunNotComplete)?)?.0.clone();
        self.run = Some((run.task.id, true));
        Ok(image)
    }

    /// A page of pictures, newest first.
    pub(crate) fn images(&self, filter: &ImageFilter) -> Page<Image> {
        let fits = |image: &&Image| filter.task_id.as_ref().is_none_or(|id| *id == image.task_id);
        page(self.pictures.iter().rev().map(|(image, _)| image).filter(fits).cloned(), filter.paging)
    }

    /// A picture and its bytes.
    pub(crate) fn image(&self, id: u64) -> Result<&(Image, Bytes)> {
        self.pictures.iter().find(|(image, _)| image.id == id).ok_or(Error::ImageNotFound { id })
    }

    /// Deletes a picture.
    pub(crate) fn delete_image(&mut self, id: u64) -> Result<()> {
        self.image(id)?;
        self.pictures.retain(|(image, _)| image.id != id);
        Ok(())
    }

    /// The number of waiting tasks, and the number of pictures drawn.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.waiting(), self.drawn)
    }

    fn waiting(&self) -> usize {
        self.entries.iter().filter(|entry| entry.task.status == Status::Pending).count()
    }

    fn find(&self, id: &str) -> Result<&Entry> {
        let found = self.entries.iter().find(|entry| entry.task.id == id);
        found.ok_or_else(|| Error::TaskNotFound { task_id: id.to_owned() })
    }

    fn find_mut(&mut self, id: &str) -> Result<&mut Entry> {
        let found = self.entries.iter_mut().find(|entry| entry.task.id == id);
        found.ok_or_else(|| Error::TaskNotFound { task_id: id.to_owned() })
    }

    /// The task, unless it was cancelled or deleted.
    fn processing(&mut self, id: &str) -> Option<&mut Entry> {
        self.find_mut(id).ok().filter(|entry| entry.task.status == Status::Processing)
    }
}

fn page<T>(items: impl Iterator<Item = T>, paging: Paging) -> Page<T> {
    let items: Vec<T> = items.collect();
    let first = (paging.page.saturating_sub(1) as usize).saturating_mul(paging.limit as usize);
    let total = items.len() as u64;
    Page { total, items: items.into_iter().skip(first).take(paging.limit as usize).collect() }
}

#[cfg(test)]
mod tests;
