//! The contract's service over the queue of `easel-jobs`.

use super::admission::{Pictures, check};
use super::analyst::Analyst;
use super::answers::{picture_id, refused, task_id};
use super::attended::{Attended, Watching};
use super::conversions::{bounds, image, priority_to_jobs, progress, report, status_to_jobs};
use super::health::{Checks, SILENT};
use super::reading;
use super::request_id;
use super::sessions::Sessions;
use super::{Config, Metrics, ModelEngine, Parts, error, store};
use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    Analysis, AnalysisRequest, ByteStream, Device, DeviceKind, Health, Image, ImageFilter, ImageRequest, InitImage,
    Model, Page, Priority, ProgressStream, Result, Run, Sampler, Session, Task, TaskFilter, TaskSelection,
    WatchOptions,
};
use easel_contract::{Check, Error, Service};
use easel_inference::sampling::{SamplerName, Scheduler};
use easel_jobs::{Counts, Engine, Jobs, NewTask, Options, Part, Picture, PictureQuery, Selection, TaskId, TaskQuery};
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The contract's service over the queue: a handle, cheaply cloned.
#[derive(Clone)]
pub struct QueueService(Arc<Inner>);

struct Inner {
    jobs: Arc<Jobs>,
    parts: Parts,
    /// `None` if abandoned tasks are kept.
    attended: Option<Arc<Attended>>,
    checks: Checks,
    /// The last known number of tasks, for when the store is busy.
    counts: Mutex<Counts>,
    pictures: Pictures,
    sessions: Sessions,
    analyst: Arc<Analyst>,
}

impl QueueService {
    /// Opens the store and starts the engines. Models are loaded when they are first needed.
    pub fn open(config: &Config) -> error::Result<Self> {
        Self::with_numbered(config, |parts, number| {
            let parts = parts.clone();
            Box::new(match config.gpus.get(number % config.gpus.len().max(1)) {
                Some(gpu) => ModelEngine::on_gpu(parts, *gpu),
                None => ModelEngine::new(parts),
            })
        })
    }

    /// The same with your own engines. A task's request is an [`ImageRequest`] as JSON.
    pub fn with_engines(config: &Config, engine: impl Fn(&Parts) -> Box<dyn Engine>) -> error::Result<Self> {
        Self::with_numbered(config, |parts, _| engine(parts))
    }

    /// The same with engines that know their number.
    fn with_numbered(config: &Config, engine: impl Fn(&Parts, usize) -> Box<dyn Engine>) -> error::Result<Self> {
        let parts = Parts::new(config)?;
        let pictures = Pictures::new(config.limits.init_pixels);
        let analyst = Arc::new(Analyst::new(config, &parts)?);
        let store = store::open(config)?;
        let options = Options { capacity: config.capacity, retention: config.retention.clone() };
        let engines = config.engines * config.gpus.len().max(1);
        let engines = (0..engines).map(|number| engine(&parts, number)).collect();
        let jobs = Arc::new(Jobs::start(store, engines, &options)?);
        let attended = (!config.keep_abandoned).then(|| Attended::of(&jobs));
        let checks = Checks::default();
        Ok(Self(Arc::new(Inner {
            jobs,
            parts,
            attended,
            checks,
            pictures,
            counts: Mutex::default(),
            sessions: Sessions::default(),
            analyst,
        })))
    }

    /// The service's metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0.parts.metrics)
    }

    /// Stops like [`Jobs::shutdown`], and blocks until it has.
    pub fn shutdown(&self, grace: Duration) {
        self.0.analyst.close();
        self.0.jobs.shutdown(grace);
    }

    /// Reads a part of a picture.
    pub(super) async fn read_part(&self, picture: Arc<Picture>, range: Range<u64>) -> Result<Bytes> {
        self.blocking(move |inner| {
            let length = range.end.saturating_sub(range.start);
            let mut part = Vec::with_capacity(usize::try_from(length).map_err(Error::internal)?);
            let file = inner.jobs.open(&picture, range.start).map_err(refused)?;
            let read = file.take(length).read_to_end(&mut part);
            if !read.is_ok_and(|read| read as u64 == length) {
                return Err(Error::internal("the picture could not be read to the end"));
            }
            Ok(part.into())
        })
        .await
    }

    /// The request with its initial picture decoded once and resized to the size of the result.
    async fn fitted(&self, request: ImageRequest) -> Result<ImageRequest> {
        if request.init.is_none() {
            return Ok(request);
        }
        let checked = self.blocking(move |inner| {
            let request = inner.named(request)?;
            let plan = check(&request, &inner.parts)?;
            Ok((request, plan))
        });
        let (mut request, plan) = checked.await?;
        // The rest of a picture that is drawn in part is needed as it is.
        let is_whole = !request.init.as_ref().is_some_and(InitImage::is_drawn_in_part);
        let plan = if is_whole { plan } else { plan.without_size() };
        if let Some(init) = &mut request.init {
            init.bytes = self.0.pictures.fit(std::mem::take(&mut init.bytes), plan).await?;
            if let Some(mask) = init.mask.take() {
                init.mask = Some(self.0.pictures.fit_mask(mask, plan).await?);
            }
        }
        Ok(request)
    }

    /// Does work that may wait for the disk, on a thread that answers no requests.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let id = request_id::current();
        let work = move || request_id::work(id, || work(&inner));
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }
}

#[async_trait]
impl Service for QueueService {
    async fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        let request = self.fitted(request).await?;
        self.blocking(move |inner| inner.submit(request, priority)).await
    }

    async fn task(&self, id: String) -> Result<Task> {
        let id = task_id(&id)?;
        self.blocking(move |inner| inner.task(inner.jobs.task(id).map_err(refused)?)).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Page<Task>> {
        filter.check(&self.0.parts.limits)?;
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
        let watcher = self.blocking(move |inner| inner.jobs.watch(id, options).map_err(refused)).await?;
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
        selection.check(&self.0.parts.limits)?;
        // Text that is not an id matches no task.
        let ids = selection.ids.map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
        let selection = Selection { ids, status: selection.status.map(status_to_jobs) };
        self.blocking(move |inner| inner.jobs.delete_tasks(&selection).map(|n| n as u64).map_err(refused)).await
    }

    async fn run(&self, request: ImageRequest) -> Result<Task> {
        let request = self.fitted(request).await?;
        self.blocking(move |inner| {
            let task = inner.new_task(request, Priority::Normal)?;
            inner.task(inner.jobs.start_run(&task).map_err(refused)?)
        })
        .await
    }

    async fn latest_run(&self) -> Result<Option<Run>> {
        self.blocking(|inner| {
            let run = inner.jobs.latest_run().map_err(refused)?;
            run.map(|run| Ok(Run { task: inner.task(run.task)?, taken: run.taken })).transpose()
        })
        .await
    }

    async fn take_run(&self) -> Result<Image> {
        self.blocking(|inner| image(inner.jobs.take_run().map_err(refused)?)).await
    }

    async fn images(&self, filter: ImageFilter) -> Result<Page<Image>> {
        filter.check(&self.0.parts.limits)?;
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
        let id = picture_id(id)?;
        self.blocking(move |inner| image(inner.jobs.picture(id).map_err(refused)?)).await
    }

    /// A picture survives its deletion until it has been read to the end.
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

    async fn models(&self) -> Result<Vec<Model>> {
        self.blocking(|inner| Ok(inner.parts.models.list())).await
    }

    async fn samplers(&self) -> Result<Vec<Sampler>> {
        let listed = Scheduler::samplers().into_iter().map(|SamplerName { name, label, respaces }| Sampler {
            name: name.to_owned(),
            label: label.to_owned(),
            respaces,
        });
        Ok(listed.collect())
    }

    async fn session(&self, name: String) -> Result<Session> {
        self.blocking(move |inner| {
            let model = inner.sessions.model(&name);
            let Some(task) = inner.sessions.task(&name, &inner.jobs) else {
                return Ok(Session { model, ..Session::default() });
            };
            let elapsed = task.started_at.and_then(|began| began.elapsed().ok()).unwrap_or_default();
            let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            Ok(Session { model, task: Some(inner.task(task)?), elapsed })
        })
        .await
    }

    async fn select_model(&self, session: String, model: String) -> Result<()> {
        let name = self.0.parts.models.name(Some(&model)).map(str::to_owned);
        name.ok_or_else(|| Error::ModelNotFound { model: model.clone() })?;
        self.0.sessions.select(session, model);
        Ok(())
    }

    async fn analyze(&self, request: AnalysisRequest) -> Result<Analysis> {
        self.0.analyst.analyze(request).await
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        Ok(self.0.parts.devices.list())
    }

    async fn select_device(&self, kind: Option<DeviceKind>) -> Result<Device> {
        self.blocking(move |inner| {
            let run = inner.jobs.latest_run().map_err(refused)?;
            if run.is_some_and(|run| !run.task.status.is_end()) {
                return Err(Error::RunInProgress);
            }
            inner.parts.devices.select(kind)
        })
        .await
    }

    async fn health(&self) -> Health {
        let inner = Arc::clone(&self.0);
        self.0.checks.health(move || inner.check()).await
    }

    async fn metrics(&self) -> Result<String> {
        self.blocking(|inner| {
            if let Ok(counts) = inner.jobs.counts() {
                *inner.counts.lock() = counts;
            }
            let counts = *inner.counts.lock();
            inner.parts.metrics.text(counts, inner.jobs.silence()).map_err(Error::internal)
        })
        .await
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Inner {
    /// The health of each part.
    fn check(&self) -> Health {
        let problem = |checked: easel_jobs::Result<()>| {
            checked.err().map(|error| {
                tracing::warn!(%error, "a check failed");
                error.for_clients().into_owned()
            })
        };
        if let Some(silence) = self.jobs.silence().filter(|silence| *silence > SILENT) {
            tracing::warn!(seconds = silence.as_secs(), "an engine has reported no progress");
        }
        let parts = [("database", Part::Database), ("disk", Part::Disk), ("pictures", Part::Pictures)];
        let stores = parts.map(|(name, part)| (name.to_owned(), problem(self.jobs.check_store(part))));
        let engine = ("engine".to_owned(), problem(self.jobs.check_engines()));
        Health { checks: stores.into_iter().chain([engine]).collect() }
    }

    /// Checks the request against this host's settings, and queues it.
    fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        let is_attended = request.attended;
        let session = request.session.clone();
        let task = self.new_task(request, priority)?;
        let task = self.jobs.submit(&task).map_err(refused)?;
        if let Some(attended) = self.attended.as_ref().filter(|_| is_attended) {
            attended.expect(task.id);
        }
        if let Some(session) = session {
            self.sessions.add(&session, task.id, &self.jobs);
        }
        self.task(task)
    }

    /// Checks the request against this host's settings.
    fn new_task(&self, mut request: ImageRequest, priority: Priority) -> Result<NewTask> {
        request = self.named(request)?;
        check(&request, &self.parts)?;
        let seed = match request.seed {
            Some(seed) => seed,
            // 32 bits are short enough to retype.
            None => u64::from(getrandom::u32().map_err(Error::internal)?),
        };
        request.seed = Some(seed);
        let prompt = request.prompt.clone();
        let row = serde_json::to_vec(&request).map_err(Error::internal)?;
        let steps = request.steps.unwrap_or_default();
        let more = request.hires.map_or(0, |hires| hires.steps(steps));
        let steps = steps.saturating_add(more).saturating_mul(request.count);
        let model = request.model.unwrap_or_default();
        Ok(NewTask { prompt, request: row, priority: priority_to_jobs(priority), seed, steps, model })
    }

    /// The request with the name of its model.
    fn named(&self, mut request: ImageRequest) -> Result<ImageRequest> {
        let model = self.parts.models.name(request.model.as_deref());
        let unknown = || Error::ModelNotFound { model: request.model.clone().unwrap_or_default() };
        request.model = Some(model.ok_or_else(unknown)?.to_owned());
        Ok(request)
    }

    /// A task with its place in the queue and its pictures.
    fn task(&self, task: easel_jobs::Task) -> Result<Task> {
        let mut tasks = self.tasks(vec![task])?;
        tasks.pop().ok_or_else(|| Error::internal("the store failed"))
    }

    /// The same for several, with no more queries than for one.
    fn tasks(&self, tasks: Vec<easel_jobs::Task>) -> Result<Vec<Task>> {
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let standings = self.jobs.standings(&ids).map_err(refused)?;
        Ok(tasks.into_iter().zip(standings).map(|(task, standing)| report(task, standing)).collect())
    }
}
