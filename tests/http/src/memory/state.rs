//! Tasks and pictures in memory.

use bytes::Bytes;
use easel_contract::Error;
use easel_contract::service::{Image, ImageRequest, Priority, Progress, Result, Run, Status, Task, TaskSelection};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A preview: the first bytes of any JPEG.
const PREVIEW: &[u8] = b"\xff\xd8\xff\xe0";

/// The state of the service.
#[derive(Default)]
pub(crate) struct State {
    /// Tasks in the order of their arrival.
    pub(crate) entries: Vec<Entry>,
    /// Pictures in the order in which they were drawn.
    pub(crate) images: Vec<(Image, Bytes)>,
    /// The latest run, and whether its picture was taken.
    pub(crate) run: Option<(String, bool)>,
    /// The chosen model of each session.
    pub(crate) sessions: BTreeMap<String, String>,
    accepted: u64,
    drawn: u64,
}

/// A task with the service's private data.
pub(crate) struct Entry {
    pub(crate) task: Task,
    pub(crate) request: ImageRequest,
    pub(crate) priority: Priority,
    pub(crate) history: Arc<Mutex<History>>,
}

/// All reports of a task so far.
#[derive(Default)]
pub(crate) struct History(Vec<Report>);

/// A report; previews are only made for watchers that ask for them.
#[derive(Clone)]
pub(crate) struct Report(Progress);

impl Report {
    pub(crate) fn with_preview(self, wanted: bool) -> Progress {
        let preview = (wanted && self.0.status == Status::Processing).then(|| Bytes::from_static(PREVIEW));
        Progress { preview, ..self.0 }
    }
}

impl History {
    /// The first report for a watcher that has seen the report `after`; the last report is always sent again.
    pub(crate) fn start(&self, after: Option<u64>) -> usize {
        let last = self.0.len().saturating_sub(1);
        after.map_or(last, |after| usize::try_from(after + 1).unwrap_or(last).min(last))
    }

    /// The report at this index: `None` if there will be none, `Some(None)` if it is still to come.
    pub(crate) fn get(&self, index: usize) -> Option<Option<Report>> {
        match self.0.get(index) {
            Some(report) => Some(Some(report.clone())),
            None if self.0.last().is_some_and(|last| last.0.status.is_final()) => None,
            None => Some(None),
        }
    }
}

impl Entry {
    /// Changes the task and reports it.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Task)) {
        change(&mut self.task);
        if self.task.status.is_final() {
            self.task.completed_at = Some(SystemTime::now());
        }
        let mut history = self.history.lock();
        let sequence = history.0.len() as u64;
        let Task { status, step, steps, error, .. } = self.task.clone();
        history.0.push(Report(Progress { sequence, status, step, steps, preview: None, error }));
    }
}

impl State {
    pub(crate) fn add(&mut self, request: ImageRequest, priority: Priority) -> Task {
        self.accepted += 1;
        let task = Task {
            id: format!("00000000-0000-4000-8000-{:012x}", self.accepted),
            status: Status::Pending,
            step: 0,
            steps: request.steps.unwrap_or(20) * request.count,
            created_at: SystemTime::now(),
            started_at: None,
            completed_at: None,
            prompt: request.prompt.clone(),
            seed: request.seed.unwrap_or(self.accepted),
            queue_position: None,
            error: None,
            images: Vec::new(),
        };
        let mut entry = Entry { task, request, priority, history: Arc::default() };
        entry.change(|_| ());
        self.entries.push(entry);
        self.count_queue();
        self.entries[self.entries.len() - 1].task.clone()
    }

    pub(crate) fn find(&self, id: &str) -> Result<&Entry> {
        let found = self.entries.iter().find(|entry| entry.task.id == id);
        found.ok_or_else(|| Error::TaskNotFound { task_id: id.to_owned() })
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Result<&mut Entry> {
        let found = self.entries.iter_mut().find(|entry| entry.task.id == id);
        found.ok_or_else(|| Error::TaskNotFound { task_id: id.to_owned() })
    }

    /// The task of a session that is in progress, or else its first waiting task.
    pub(crate) fn task_of(&self, session: &str) -> Option<&Task> {
        let own = |entry: &&Entry| entry.request.session.as_deref() == Some(session);
        let with = |status: Status| {
            self.entries.iter().filter(own).map(|entry| &entry.task).find(|task| task.status == status)
        };
        with(Status::Processing).or_else(|| with(Status::Pending))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.entries.iter().filter(|entry| entry.task.status == Status::Pending).count()
    }

    /// Begins the next task: the first one with the highest priority.
    pub(crate) fn begin_next(&mut self) -> Option<(String, ImageRequest)> {
        let pending = self.entries.iter_mut().rev().filter(|entry| entry.task.status == Status::Pending);
        let next = pending.max_by_key(|entry| entry.priority as u8)?;
        next.change(|task| {
            task.status = Status::Processing;
            task.started_at = Some(SystemTime::now());
            task.queue_position = None;
        });
        let begun = (next.task.id.clone(), next.request.clone());
        self.count_queue();
        Some(begun)
    }

    /// Updates the queue positions of all waiting tasks.
    fn count_queue(&mut self) {
        let key = |entry: &Entry| std::cmp::Reverse(entry.priority as u8);
        let mut waiting: Vec<&mut Entry> =
            self.entries.iter_mut().filter(|entry| entry.task.status == Status::Pending).collect();
        waiting.sort_by_key(|entry| key(entry));
        for (position, entry) in waiting.into_iter().enumerate() {
            entry.task.queue_position = Some(position as u32);
        }
    }

    pub(crate) fn cancel(&mut self, id: &str) -> Result<()> {
        let entry = self.find_mut(id)?;
        if entry.task.status.is_final() {
            return Err(Error::TaskEnded { task_id: id.to_owned(), status: entry.task.status });
        }
        entry.change(|task| {
            task.status = Status::Cancelled;
            task.queue_position = None;
        });
        self.count_queue();
        Ok(())
    }

    pub(crate) fn delete(&mut self, selection: &TaskSelection) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|Entry { task, .. }| {
            let named = selection.ids.as_ref().is_none_or(|ids| ids.contains(&task.id));
            let fits = selection.status.is_none_or(|status| status == task.status);
            !task.status.is_final() || !named || !fits
        });
        (before - self.entries.len()) as u64
    }

    pub(crate) fn latest_run(&self) -> Option<Run> {
        let (id, taken) = self.run.as_ref()?;
        Some(Run { task: self.find(id).ok()?.task.clone(), taken: *taken })
    }

    pub(crate) fn image(&self, id: u64) -> Result<&(Image, Bytes)> {
        self.images.iter().find(|(image, _)| image.id == id).ok_or(Error::ImageNotFound { id })
    }

    /// Stores a picture, gives its record a number and a digest, and returns the number.
    pub(crate) fn store(&mut self, image: Image, bytes: Vec<u8>) -> u64 {
        self.drawn += 1;
        let digest = format!("{:016x}", self.drawn);
        self.images.push((Image { id: self.drawn, digest, ..image }, bytes.into()));
        self.drawn
    }
}
