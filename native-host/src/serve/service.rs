//! The contract's service over the queue of `easel-jobs`.

use super::attended::{Attended, Watching};
use super::conversions::{bounds, image, priority_to_jobs, progress, report, status, status_to_jobs};
use super::reading;
use super::{Config, Devices, Metrics, ModelEngine, Models, error};
use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    ByteStream, Device, DeviceKind, Health, Image, ImageFilter, ImageRequest, Page, Priority, ProgressStream, Result,
    Run, Task, TaskFilter, TaskSelection, WatchOptions,
};
use easel_contract::{Error, Service};
use easel_inference::sampling::Scheduler;
use easel_inference::text::MAX_PROMPT_BYTES;
use easel_jobs::{
    Engine, Jobs, NewTask, Options, Part, Picture, PictureId, PictureQuery, Selection, SqliteStore, TaskId, TaskQuery,
};
use easel_picture::{Image as Pixels, Limits};
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a refused client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 5;

/// How long a good check counts, so that many probes cost no more than one.
const HEALTHY: Duration = Duration::from_millis(100);

/// The contract's service over the queue: a handle, cheaply cloned.
#[derive(Clone)]
pub struct QueueService(Arc<Inner>);

struct Inner {
    jobs: Arc<Jobs>,
    parts: Parts,
    /// Unless abandoned tasks are kept.
    attended: Option<Arc<Attended>>,
    latest: Mutex<Option<Latest>>,
    /// When the last check found nothing wrong.
    healthy: Mutex<Option<Instant>>,
}

/// What a service shares with its engines.
#[derive(Clone)]
pub struct Parts {
    /// The models that may be asked for.
    pub models: Arc<Models>,
    /// Where to compute.
    pub devices: Arc<Devices>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// The latest run, as the routes under `/pipeline` see it.
#[derive(Clone, Copy)]
struct Latest {
    task: TaskId,
    taken: bool,
}

impl QueueService {
    /// Opens the data folder and starts the engines. Models are loaded when they are first asked for.
    pub fn open(config: &Config) -> error::Result<Self> {
        Self::with_engines(config, |parts| Box::new(ModelEngine::new(parts.clone())))
    }

    /// The same with engines of your own. A task's request is an [`ImageRequest`] as JSON.
    pub fn with_engines(config: &Config, engine: impl Fn(&Parts) -> Box<dyn Engine>) -> error::Result<Self> {
        let names = [&config.model].into_iter().chain(&config.models);
        let parts = Parts {
            devices: Arc::new(Devices::find(config.device)?),
            models: Arc::new(Models::new(names, config.loaded_models)?.with_components(config.components.clone())),
            metrics: Arc::default(),
        };
        let store = Arc::new(SqliteStore::open(&config.data)?);
        let options = Options { capacity: config.capacity, retention: config.retention.clone() };
        let jobs = Arc::new(Jobs::start(store, (0..config.engines).map(|_| engine(&parts)).collect(), &options)?);
        let attended = (!config.keep_abandoned).then(|| Attended::of(&jobs));
        Ok(Self(Arc::new(Inner { jobs, parts, attended, latest: Mutex::default(), healthy: Mutex::default() })))
    }

    /// What the server counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0.parts.metrics)
    }

    /// Stops as [`Jobs::shutdown`] does, and blocks until then.
    pub fn shutdown(&self, grace: Duration) {
        self.0.jobs.shutdown(grace);
    }

    /// A part of a picture.
    pub(super) async fn read_part(&self, picture: Arc<Picture>, range: Range<u64>) -> Result<Bytes> {
        self.blocking(move |inner| inner.jobs.read_part(&picture, range).map_err(refused)).await
    }

    /// Does something that may wait for the disk, off the threads that answer requests.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(Error::internal)?
    }
}

#[async_trait]
impl Service for QueueService {
    async fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        self.blocking(move |inner| inner.submit(request, priority)).await
    }

    async fn task(&self, id: String) -> Result<Task> {
        let id = task_id(&id)?;
        self.0.jobs.task(id).map_err(refused).and_then(|task| self.0.task(task))
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Page<Task>> {
        self.blocking(move |inner| {
            let (limit, offset) = bounds(filter.paging);
            let status = filter.status.map(status_to_jobs);
            let page = inner.jobs.tasks(&TaskQuery { status, limit, offset }).map_err(refused)?;
            Ok(Page { total: page.total as u64, items: inner.tasks(page.items)? })
        })
        .await
    }

    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream> {
        let options = easel_jobs::WatchOptions { after: options.after, previews: options.preview };
        let id = task_id(&id)?;
        let watching = self.0.attended.as_ref().and_then(|attended| attended.watch(id));
        let watcher = self.0.jobs.watch(id, options).map_err(refused)?;
        let next = |(mut watcher, mut watching): (easel_jobs::Watcher, Option<Watching>)| async {
            let event = watcher.next().await?;
            if let Some(watching) = &mut watching {
                watching.has_ended = event.status.is_end();
            }
            Some((progress(event), (watcher, watching)))
        };
        Ok(stream::unfold((watcher, watching), next).boxed())
    }

    async fn cancel(&self, id: String) -> Result<()> {
        let id = task_id(&id)?;
        self.blocking(move |inner| inner.jobs.cancel(id).map_err(refused)).await
    }

    async fn delete_tasks(&self, selection: TaskSelection) -> Result<u64> {
        // Text that is not an id names no task.
        let ids = selection.ids.map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
        let selection = Selection { ids, status: selection.status.map(status_to_jobs) };
        self.blocking(move |inner| inner.jobs.delete_tasks(&selection).map(|n| n as u64).map_err(refused)).await
    }

    async fn run(&self, request: ImageRequest) -> Result<Task> {
        self.blocking(move |inner| {
            // Held until the new run is known: of two requests at the same time one is refused.
            let mut latest = inner.latest.lock();
            if inner.in_progress(*latest)? {
                return Err(Error::RunInProgress);
            }
            let task = inner.submit(request, Priority::Normal)?;
            *latest = Some(Latest { task: task_id(&task.id)?, taken: false });
            Ok(task)
        })
        .await
    }

    async fn latest_run(&self) -> Result<Option<Run>> {
        let Some(Latest { task, taken }) = *self.0.latest.lock() else { return Ok(None) };
        match self.0.jobs.task(task) {
            Ok(task) => Ok(Some(Run { task: self.0.task(task)?, taken })),
            // It was deleted.
            Err(easel_jobs::Error::UnknownTask { .. }) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    async fn take_run(&self) -> Result<Image> {
        let mut latest = self.0.latest.lock();
        let run = latest.as_mut().filter(|run| !run.taken).ok_or(Error::RunNotComplete)?;
        let first = PictureQuery { task: Some(run.task), limit: 1, offset: 0 };
        let picture = self.0.jobs.pictures(&first).map_err(refused)?.items.pop().ok_or(Error::RunNotComplete)?;
        run.taken = true;
        image(picture)
    }

    async fn images(&self, filter: ImageFilter) -> Result<Page<Image>> {
        let task = match filter.task_id.map(|id| id.parse()) {
            Some(Err(_)) => return Ok(Page { total: 0, items: Vec::new() }),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        self.blocking(move |inner| {
            let (limit, offset) = bounds(filter.paging);
            let page = inner.jobs.pictures(&PictureQuery { task, limit, offset }).map_err(refused)?;
            Ok(Page { total: page.total as u64, items: page.items.into_iter().map(image).collect::<Result<_>>()? })
        })
        .await
    }

    async fn image(&self, id: u64) -> Result<Image> {
        image(self.0.jobs.picture(picture_id(id)?).map_err(refused)?)
    }

    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream> {
        let number = picture_id(id)?;
        let picture = self.blocking(move |inner| inner.jobs.picture(number).map_err(refused)).await?;
        if range.start > range.end || range.end > picture.length {
            return Err(Error::internal(format_args!("picture {id} is shorter than the range")));
        }
        Ok(reading::pieces(self, picture, range).await?.boxed())
    }

    async fn delete_image(&self, id: u64) -> Result<()> {
        let id = picture_id(id)?;
        self.blocking(move |inner| inner.jobs.delete_picture(id).map_err(refused)).await
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        Ok(self.0.parts.devices.list())
    }

    async fn select_device(&self, kind: Option<DeviceKind>) -> Result<Device> {
        let latest = self.0.latest.lock();
        if self.0.in_progress(*latest)? {
            return Err(Error::RunInProgress);
        }
        self.0.parts.devices.select(kind)
    }

    async fn health(&self) -> Health {
        let [database, engine] = if self.0.was_healthy() {
            [None, None]
        } else {
            self.blocking(|inner| Ok(inner.check())).await.unwrap_or_else(|error| [None, Some(error.to_string())])
        };
        Health { checks: vec![("database".into(), database), ("engine".into(), engine)] }
    }

    async fn metrics(&self) -> Result<String> {
        self.blocking(|inner| {
            let counts = inner.jobs.counts().map_err(refused)?;
            inner.parts.metrics.text(counts).map_err(Error::internal)
        })
        .await
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Inner {
    fn was_healthy(&self) -> bool {
        self.healthy.lock().is_some_and(|then| then.elapsed() < HEALTHY)
    }

    /// Problems of the database and of the engines.
    fn check(&self) -> [Option<String>; 2] {
        let began = Instant::now();
        let problem = |checked: easel_jobs::Result<()>| checked.err().map(|error| error.to_string());
        let problems = [problem(self.jobs.check_store(Part::Database)), problem(self.jobs.check_engines())];
        *self.healthy.lock() = problems.iter().all(Option::is_none).then_some(began);
        problems
    }

    /// Checks what only this host knows, and queues.
    fn submit(&self, mut request: ImageRequest, priority: Priority) -> Result<Task> {
        let model = self.parts.models.name(request.model.as_deref());
        let unknown = || Error::ModelNotFound { model: request.model.clone().unwrap_or_default() };
        request.model = Some(model.ok_or_else(unknown)?.to_owned());
        check(&request)?;
        let seed = match request.seed {
            Some(seed) => seed,
            // 32 bits are short enough to be typed again.
            None => u64::from(getrandom::u32().map_err(Error::internal)?),
        };
        request.seed = Some(seed);
        let prompt = request.prompt.clone();
        let row = serde_json::to_vec(&request).map_err(Error::internal)?;
        let steps = request.steps.unwrap_or_default().saturating_mul(request.count);
        let task = NewTask { prompt, request: row, priority: priority_to_jobs(priority), seed, steps };
        let task = self.jobs.submit(&task).map_err(refused)?;
        if let Some(attended) = self.attended.as_ref().filter(|_| request.attended) {
            attended.expect(task.id);
        }
        self.task(task)
    }

    /// A task with its place in the queue and its pictures.
    fn task(&self, task: easel_jobs::Task) -> Result<Task> {
        let mut tasks = self.tasks(vec![task])?;
        tasks.pop().ok_or_else(|| Error::internal("the store failed"))
    }

    /// The same for several, with as many questions to the store as for one.
    fn tasks(&self, tasks: Vec<easel_jobs::Task>) -> Result<Vec<Task>> {
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let standings = self.jobs.standings(&ids).map_err(refused)?;
        Ok(tasks.into_iter().zip(standings).map(|(task, standing)| report(task, standing)).collect())
    }

    fn in_progress(&self, latest: Option<Latest>) -> Result<bool> {
        match latest.map(|run| self.jobs.task(run.task)) {
            Some(Ok(task)) => Ok(!task.status.is_end()),
            None | Some(Err(easel_jobs::Error::UnknownTask { .. })) => Ok(false),
            Some(Err(error)) => Err(refused(error)),
        }
    }
}

/// Refuses a request that the engine would refuse later.
fn check(request: &ImageRequest) -> Result<()> {
    for (field, text) in [("prompt", Some(&request.prompt)), ("negative_prompt", request.negative_prompt.as_ref())] {
        if let Some(text) = text.filter(|text| text.len() > MAX_PROMPT_BYTES) {
            let reason = format!("{} bytes long, expected at most {MAX_PROMPT_BYTES}", text.len());
            return Err(Error::invalid(field, reason));
        }
    }
    if let Some(name) = &request.scheduler {
        name.parse::<Scheduler>().map_err(|error| Error::invalid("scheduler", unprefixed("scheduler", &error)))?;
    }
    if let Some(init) = &request.init {
        let decoded = Pixels::decode(&init.bytes, &Limits::default());
        decoded.map_err(|error| Error::invalid("init_image", error.to_string()))?;
    }
    Ok(())
}

/// What an error says after the name of its field.
fn unprefixed(field: &str, error: &easel_inference::Error) -> String {
    let text = error.to_string();
    text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned()
}

/// The queue's error as the contract has it.
fn refused(error: easel_jobs::Error) -> Error {
    use easel_jobs::Error as Jobs;
    match error {
        Jobs::QueueFull { .. } => Error::QueueFull { retry_after: RETRY_AFTER },
        Jobs::ShuttingDown => Error::ShuttingDown { retry_after: RETRY_AFTER },
        Jobs::UnknownTask { id } => Error::TaskNotFound { task_id: id.to_string() },
        Jobs::AlreadyEnded { id, status: ended } => Error::TaskEnded { task_id: id.to_string(), status: status(ended) },
        Jobs::UnknownPicture { id } => Error::ImageNotFound { id: id.cast_unsigned() },
        other => {
            // Paths and the system's messages are for the operator.
            tracing::error!(error = %other, "the store failed");
            Error::internal("the store failed")
        }
    }
}

fn task_id(text: &str) -> Result<TaskId> {
    text.parse().map_err(|_| Error::TaskNotFound { task_id: text.to_owned() })
}

fn picture_id(id: u64) -> Result<PictureId> {
    id.try_into().map_err(|_| Error::ImageNotFound { id })
}
