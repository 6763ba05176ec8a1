//! A service in memory: the simplest server that passes the transcripts.

mod analysis;
mod state;
mod worker;

use crate::transcript::Setup;
use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    Analysis, AnalysisRequest, Device, DeviceKind, Health, Image, ImageFilter, ImageRequest, Model, Page, Paging,
    Priority, ProgressStream, Result, Run, Sampler, Session, Status, Task, TaskFilter, TaskSelection, WatchOptions,
};
use easel_contract::service::{ByteStream, Service};
use easel_contract::{Check, Error, Limits, Settings};
use futures_util::stream::{self, StreamExt};
use parking_lot::{Mutex, MutexGuard};
use state::{Entry, State};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// When clients are told to retry, in seconds.
const RETRY_AFTER: u32 = 5;

/// A service that keeps everything in memory and draws the `stub` picture.
pub struct MemoryService {
    setup: Setup,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

impl MemoryService {
    /// Starts a service, with its engine on the current tokio runtime. The engine ends with the service.
    pub fn start(setup: &Setup) -> Arc<Self> {
        let (changes, changed) = watch::channel(());
        let service = Arc::new(Self { setup: setup.clone(), state: Mutex::default(), changes });
        tokio::spawn(worker::work(Arc::downgrade(&service), changed));
        service
    }

    /// The router's settings for a setup.
    pub fn settings(setup: &Setup) -> Settings {
        setup.settings()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Notifies watchers and the engine of a change.
    fn announce(&self) {
        self.changes.send_replace(());
    }

    /// Refuses invalid requests.
    fn check(&self, state: &State, request: &ImageRequest) -> Result<()> {
        if self.setup.stopping {
            return Err(Error::ShuttingDown { retry_after: RETRY_AFTER });
        }
        request.check(&Limits::default())?;
        if let Some(model) = request.model.as_ref().filter(|model| *model != "stub") {
            return Err(Error::ModelNotFound { model: model.clone() });
        }
        if let Some(name) = request.scheduler.as_ref().filter(|name| *name != "euler") {
            return Err(Error::invalid("scheduler", format!("{name:?} is not a known scheduler")));
        }
        match state.waiting() >= self.setup.queue {
            true => Err(Error::QueueFull { retry_after: RETRY_AFTER }),
            false => Ok(()),
        }
    }
}

fn part<T: Clone>(items: impl Iterator<Item = T>, paging: Paging) -> Page<T> {
    let items: Vec<T> = items.collect();
    let first = (paging.page as usize - 1) * paging.limit as usize;
    let total = items.len() as u64;
    Page { total, items: items.into_iter().skip(first).take(paging.limit as usize).collect() }
}

#[async_trait]
impl Service for MemoryService {
    async fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        let task = {
            let mut state = self.state();
            self.check(&state, &request)?;
            state.add(request, priority)
        };
        self.announce();
        Ok(task)
    }

    async fn task(&self, id: String) -> Result<Task> {
        self.state().find(&id).map(|entry| entry.task.clone())
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Page<Task>> {
        let state = self.state();
        let fits = |entry: &&Entry| filter.status.is_none_or(|status| entry.task.status == status);
        Ok(part(state.entries.iter().rev().filter(fits).map(|entry| entry.task.clone()), filter.paging))
    }

    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream> {
        let mut changed = self.changes.subscribe();
        changed.mark_unchanged();
        let history = self.state().find(&id)?.history.clone();
        let first = history.lock().start(options.after);
        let next = move |(mut changed, next): (watch::Receiver<()>, usize)| {
            let history = history.clone();
            async move {
                loop {
                    let report = history.lock().get(next)?;
                    match report {
                        Some(report) => return Some((report, (changed, next + 1))),
                        None => changed.changed().await.ok()?,
                    }
                }
            }
        };
        let reports = stream::unfold((changed, first), next);
        Ok(reports.map(move |report| report.with_preview(options.preview)).boxed())
    }

    async fn cancel(&self, id: String) -> Result<()> {
        let result = self.state().cancel(&id);
        self.announce();
        result
    }

    async fn delete_tasks(&self, selection: TaskSelection) -> Result<u64> {
        Ok(self.state().delete(&selection))
    }

    async fn run(&self, request: ImageRequest) -> Result<Task> {
        let task = {
            let mut state = self.state();
            if state.latest_run().is_some_and(|run| !run.task.status.is_final()) {
                return Err(Error::RunInProgress);
            }
            self.check(&state, &request)?;
            let task = state.add(request, Priority::Normal);
            state.run = Some((task.id.clone(), false));
            task
        };
        self.announce();
        Ok(task)
    }

    async fn latest_run(&self) -> Result<Option<Run>> {
        Ok(self.state().latest_run())
    }

    async fn take_run(&self) -> Result<Image> {
        let mut state = self.state();
        let run = state.latest_run().filter(|run| run.task.status == Status::Completed && !run.taken);
        let run = run.ok_or(Error::RunNotComplete)?;
        state.run = Some((run.task.id, true));
        let id = *run.task.images.first().ok_or(Error::RunNotComplete)?;
        state.image(id).map(|(image, _)| image.clone())
    }

    async fn images(&self, filter: ImageFilter) -> Result<Page<Image>> {
        let state = self.state();
        let fits = |image: &&Image| filter.task_id.as_ref().is_none_or(|id| *id == image.task_id);
        Ok(part(state.images.iter().rev().map(|(image, _)| image).filter(fits).cloned(), filter.paging))
    }

    async fn image(&self, id: u64) -> Result<Image> {
        self.state().image(id).map(|(image, _)| image.clone())
    }

    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream> {
        let bytes: Bytes = self.state().image(id)?.1.slice(range.start as usize..range.end as usize);
        Ok(stream::iter([Ok(bytes)]).boxed())
    }

    async fn delete_image(&self, id: u64) -> Result<()> {
        let mut state = self.state();
        state.image(id)?;
        state.images.retain(|(image, _)| image.id != id);
        Ok(())
    }

    async fn models(&self) -> Result<Vec<Model>> {
        Ok(vec![Model {
            name: "stub".into(),
            width: Some(512),
            height: Some(512),
            size_step: Some(1),
            loaded: true,
            ..Model::default()
        }])
    }

    async fn samplers(&self) -> Result<Vec<Sampler>> {
        Ok(vec![Sampler { name: "euler".into(), label: "Euler".into(), respaces: false }])
    }

    async fn session(&self, name: String) -> Result<Session> {
        let state = self.state();
        let model = state.sessions.get(&name).cloned();
        let task = state.task_of(&name).cloned();
        let elapsed = task.as_ref().and_then(|task| task.started_at?.elapsed().ok()).unwrap_or_default();
        Ok(Session { model, task, elapsed: elapsed.as_millis() as u64 })
    }

    async fn select_model(&self, session: String, model: String) -> Result<()> {
        if model != "stub" {
            return Err(Error::ModelNotFound { model });
        }
        self.state().sessions.insert(session, model);
        Ok(())
    }

    async fn analyze(&self, request: AnalysisRequest) -> Result<Analysis> {
        request.check(&Limits::default())?;
        if self.setup.stopping {
            return Err(Error::ShuttingDown { retry_after: RETRY_AFTER });
        }
        analysis::of(&self.setup, &request)
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        Ok(vec![cpu()])
    }

    async fn select_device(&self, kind: Option<DeviceKind>) -> Result<Device> {
        if self.state().latest_run().is_some_and(|run| !run.task.status.is_final()) {
            return Err(Error::RunInProgress);
        }
        match kind {
            None | Some(DeviceKind::Cpu) => Ok(cpu()),
            Some(kind) => Err(Error::DeviceUnavailable { device: kind.name().to_uppercase() }),
        }
    }

    async fn health(&self) -> Health {
        let problem = self.setup.unhealthy.then(|| "the database is locked".to_owned());
        Health {
            checks: vec![
                ("database".into(), problem),
                ("disk".into(), None),
                ("engine".into(), None),
                ("pictures".into(), None),
            ],
        }
    }

    async fn metrics(&self) -> Result<String> {
        let waiting = self.state().waiting();
        Ok(format!(
            "# HELP easel_queue_length Tasks that wait.\n# TYPE easel_queue_length gauge\neasel_queue_length {waiting}\n# EOF\n"
        ))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn cpu() -> Device {
    Device { id: "cpu".into(), name: "stub".into(), kind: DeviceKind::Cpu, memory_bytes: None, selected: true }
}
