//! The queue's engine over the inference pipeline: a request in, encoded pictures out.

use super::conversions::format;
use super::drawing::Drawing;
use super::models::{Lease, Task};
use super::phases::Phases;
use super::target::Target;
use super::trace::TaskTrace;
use super::{Finish, Metrics, Parts};
use crate::model::{self, LoadedModel};
use bytes::Bytes;
use easel_contract::Check;
use easel_contract::service::{Encoding, Hires, ImageRequest};
use easel_inference::pipeline::{CancelToken, Phase, Picture, Progress, Request, Watcher};
use easel_inference::tensor::DeviceKind;
use easel_jobs::{Engine, EngineError, Job, NewPicture};
use easel_picture::{EncodeOptions, Image, ImageFormat};
use std::time::Instant;

/// The quality of previews, which are JPEGs.
const PREVIEW_QUALITY: u8 = 75;

/// Runs the queue's tasks with the models that they name.
pub struct ModelEngine {
    parts: Parts,
    /// Its own GPU, if each engine has one.
    gpu: Option<usize>,
}

impl ModelEngine {
    /// An engine that shares the loaded models with other engines.
    pub fn new(parts: Parts) -> Self {
        Self { parts, gpu: None }
    }

    /// The same on a GPU of its own, by its number in `easel devices`.
    pub fn on_gpu(parts: Parts, gpu: usize) -> Self {
        Self { parts, gpu: Some(gpu) }
    }

    /// Where it computes now.
    fn target(&self) -> Target {
        let kind = self.parts.devices.selected();
        Target { kind, gpu: self.gpu.filter(|_| kind == DeviceKind::Gpu) }
    }

    fn draw(&self, job: &Job<'_>, asked: ImageRequest, trace: &TaskTrace) -> Result<Vec<NewPicture>, Failure> {
        let Parts { metrics, limits, .. } = &self.parts;
        asked.check(limits).map_err(Failure::Limits)?;
        let name = asked.model.clone().unwrap_or_default();
        let encoding = asked.encoding.unwrap_or_default();
        let cancel = CancelToken::default();
        let mut report = Report::new(job, asked.count, cancel.clone(), metrics, trace);
        let drawings = self.drawings(&asked, &name);
        let task = Task { model: &name, device: self.target(), drawings: &drawings };
        let model = self.model(&task, &mut report, &cancel)?;
        if let Some(hires) = asked.hires {
            let usual = model.defaults().map_or(1, |defaults| u32::try_from(defaults.steps).unwrap_or(u32::MAX));
            report.second = hires.steps(asked.steps.unwrap_or(usual)) as usize;
        }
        let count = asked.count;
        let drawing = Drawing::new(asked, &model)?;
        let mut pictures = Vec::new();
        for number in 0..count {
            let picture = encode(&drawing.picture(number, &mut report)?, encoding)?;
            job.keep(picture.clone());
            pictures.push(picture);
        }
        metrics.drawn(pictures.len(), report.began.elapsed());
        Ok(pictures)
    }

    /// Draws, with a trace of it; logs a failure.
    fn traced(&self, job: &Job<'_>, asked: ImageRequest) -> Result<Vec<NewPicture>, Failure> {
        let task = job.task();
        let origin = asked.origin.clone();
        let model = self.parts.models.public(asked.model.as_deref().unwrap_or_default());
        let trace = TaskTrace::begin(task, model, origin.as_ref());
        let drawn = self.draw(job, asked, &trace);
        if let Err(failure) = &drawn
            && !failure.is_stop()
        {
            let error = failure.to_string();
            let request = origin.and_then(|origin| origin.request_id).unwrap_or_default();
            tracing::error!(task = %task.id, request, error, "a task failed");
            trace.failed(&self.parts.models.without_folders(&error));
        }
        drawn
    }

    /// The model of a task, for as long as it draws.
    fn model(
        &self,
        task: &Task<'_>,
        report: &mut Report<'_, '_>,
        cancel: &CancelToken,
    ) -> Result<Lease<LoadedModel>, Failure> {
        let models = &self.parts.models;
        let job = report.job;
        models.get(task, report, cancel, &|| job.should_stop()).map_err(|reason| match reason {
            model::Error::Inference(easel_inference::Error::Cancelled) => reason.into(),
            reason => Failure::Load { model: models.public(task.model).to_owned(), reason: Box::new(reason) },
        })
    }

    /// What a request draws, in the pipeline's terms, without prompts and pictures: what has to fit the memory.
    fn drawings(&self, asked: &ImageRequest, model: &str) -> Vec<Request> {
        let mut drawings = vec![without_pictures(asked)];
        let description = self.parts.models.description(model).ok().flatten();
        if let (Some(hires), Some(description)) = (asked.hires, description) {
            let usual = description.defaults();
            let side = |asked: Option<u32>, usual: usize| asked.unwrap_or(u32::try_from(usual).unwrap_or(u32::MAX));
            let size = hires.size(side(asked.width, usual.width), side(asked.height, usual.height));
            drawings.push(without_pictures(&second(asked, hires, size)));
        }
        drawings
    }
}

impl Engine for ModelEngine {
    fn loaded(&self) -> Vec<String> {
        self.parts.models.ready(self.target())
    }

    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        let metrics = &self.parts.metrics;
        let task = job.task();
        // A task that was interrupted has waited only once.
        if let (1, Some(started)) = (task.attempts, task.started_at) {
            metrics.waited(started.duration_since(task.created_at).unwrap_or_default());
        }
        let drawn = serde_json::from_slice(job.request()).map_err(Failure::from);
        let drawn = drawn.and_then(|asked: ImageRequest| self.traced(job, asked));
        let finish = match &drawn {
            Ok(_) => Finish::Completed,
            Err(failure) if failure.is_stop() => Finish::Stopped,
            Err(_) => Finish::Error,
        };
        metrics.finished(finish);
        drawn.map_err(|failure| match finish {
            Finish::Stopped => EngineError::Stopped,
            _ => EngineError::Failed(self.parts.models.without_folders(&failure.to_string())),
        })
    }
}

/// Why a task has no pictures.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the request was queued by another version: {0}")]
    Request(#[from] serde_json::Error),
    #[error(transparent)]
    Limits(easel_contract::Error),
    #[error("model {model} cannot be loaded: {reason}")]
    Load { model: String, reason: Box<model::Error> },
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error("the model drew no picture")]
    Nothing,
}

impl Failure {
    /// Whether it is no failure: the task was to stop.
    fn is_stop(&self) -> bool {
        matches!(self, Self::Model(model::Error::Inference(easel_inference::Error::Cancelled)))
    }
}

impl From<easel_inference::Error> for Failure {
    fn from(error: easel_inference::Error) -> Self {
        Self::Model(error.into())
    }
}

/// The settings of a request in the pipeline's terms, with one empty prompt and no initial picture.
pub(super) fn without_pictures(asked: &ImageRequest) -> Request {
    let size = |size: Option<u32>| size.map(|size| size as usize);
    Request {
        width: size(asked.width),
        height: size(asked.height),
        steps: size(asked.steps),
        guidance_scale: asked.guidance_scale,
        scheduler: asked.scheduler.clone(),
        ..Request::new("", None, 0, 1)
    }
}

/// The request for the second drawing of a picture, in the size that it was enlarged to.
pub(super) fn second(asked: &ImageRequest, hires: Hires, (width, height): (u32, u32)) -> ImageRequest {
    ImageRequest {
        width: Some(width),
        height: Some(height),
        steps: hires.steps.or(asked.steps),
        count: 1,
        hires: None,
        ..asked.clone()
    }
}

fn encode(picture: &Picture, encoding: Encoding) -> easel_inference::Result<NewPicture> {
    let parameters = picture.parameters.to_string();
    let mut options = EncodeOptions { parameters: Some(&parameters), ..EncodeOptions::default() };
    if let Some(quality) = encoding.quality {
        options.quality = u8::try_from(quality).unwrap_or(u8::MAX);
    }
    let format = format(encoding.format);
    let bytes = picture.image.encode(format, &options)?.into();
    Ok(NewPicture { bytes, media_type: format.media_type().into(), seed: picture.seed })
}

/// Passes progress from the pipeline to the task's watchers, and cancellation back.
pub(super) struct Report<'a, 'j> {
    job: &'a Job<'j>,
    cancel: CancelToken,
    began: Instant,
    metrics: &'a Metrics,
    phases: Phases<'a>,
    /// The number of all pictures and of the finished ones.
    count: usize,
    done: usize,
    /// The steps of a picture's first drawing, known once it has begun.
    first: usize,
    /// The steps of its second drawing, an estimate until it has begun.
    second: usize,
    is_second: bool,
}

impl<'a, 'j> Report<'a, 'j> {
    fn new(job: &'a Job<'j>, count: u32, cancel: CancelToken, metrics: &'a Metrics, trace: &'a TaskTrace) -> Self {
        let phases = Phases::new(metrics, trace);
        let count = count as usize;
        let began = Instant::now();
        Self { job, cancel, began, metrics, phases, count, done: 0, first: 0, second: 0, is_second: false }
    }

    /// The token that stops the pipeline.
    pub(super) fn cancel(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// The second drawing of a picture begins.
    pub(super) fn second_pass(&mut self) {
        self.is_second = true;
    }

    /// A picture is finished.
    pub(super) fn finished(&mut self) {
        self.done += 1;
        self.is_second = false;
    }

    /// Steps done and in all, when `step` of `of` steps of this drawing are done.
    fn steps(&mut self, step: usize, of: usize) -> easel_jobs::Progress {
        *(if self.is_second { &mut self.second } else { &mut self.first }) = of;
        let each = self.first + self.second;
        let before = self.done * each + if self.is_second { self.first } else { 0 };
        let number = |steps: usize| u32::try_from(steps).unwrap_or(u32::MAX);
        easel_jobs::Progress { step: number(before + step), steps: number(self.count * each) }
    }
}

impl Watcher for Report<'_, '_> {
    fn progress(&mut self, progress: &Progress) {
        if self.job.should_stop() {
            self.cancel.cancel();
        }
        self.phases.progress(progress);
        if progress.phase == Phase::Denoise {
            self.metrics.stepped();
            let preview = progress.preview.as_ref().and_then(preview);
            let steps = self.steps(progress.step, progress.of);
            self.job.report(steps, preview);
        }
    }

    fn wants_preview(&self) -> bool {
        self.job.wants_previews()
    }

    fn warning(&mut self, message: &str) {
        tracing::warn!(task = %self.job.task().id, "{message}");
    }

    fn clock(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// The preview as a JPEG; `None` if it cannot be encoded.
fn preview(image: &Image) -> Option<Bytes> {
    let options = EncodeOptions { quality: PREVIEW_QUALITY, ..EncodeOptions::default() };
    image.encode(ImageFormat::Jpeg, &options).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use crate::serve::{Config, QueueService};
    use easel_contract::Service;
    use easel_contract::links::Link;
    use easel_contract::service::{ImageRequest, InitImage, Mask, Paste, Priority, Redraw, Status, WatchOptions};
    use easel_jobs::{NewTask, SqliteStore, Store};
    use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, read_metadata};
    use futures_util::StreamExt;

    #[tokio::test]
    async fn f1_a_queued_task_of_another_version_beyond_the_limits_fails() {
        let folder = tempfile::tempdir().unwrap();
        let absurd = ImageRequest {
            prompt: "a cat".into(),
            model: Some("stub".into()),
            count: u32::MAX,
            ..ImageRequest::default()
        };
        let row = NewTask { request: serde_json::to_vec(&absurd).unwrap(), ..NewTask::default() };
        let store = SqliteStore::open(folder.path()).unwrap();
        let id = store.submit(&row, 10).unwrap().id.to_string();
        drop(store);

        let config = Config { data: folder.path().to_owned(), model: "stub".into(), ..Config::default() };
        let service = QueueService::open(&config).unwrap();
        let reports = service.watch(id.clone(), WatchOptions::default()).await.unwrap();
        reports.for_each(async |_| ()).await;
        let task = service.task(id).await.unwrap();
        assert_eq!(task.status, Status::Error);
        assert_eq!(task.error.as_deref(), Some("count: must be between 1 and 256, got 4294967295"));
    }

    #[tokio::test]
    async fn a_masked_area_is_drawn_and_pasted_into_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let service = QueueService::open(&Config { data: folder.path().to_owned(), ..Config::default() }).unwrap();
        let png = |image: &Image| image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap().into();
        let whole = Image::stub(192, 128).unwrap();
        let is_inside = |x: usize, y: usize| (100..140).contains(&x) && (40..80).contains(&y);
        let grey = (0..192 * 128).map(|at| if is_inside(at % 192, at / 192) { 255 } else { 0 }).collect();
        let mask = Image::from_samples(192, 128, 1, grey).unwrap();
        let paste = Some(Paste { blur: 0, margin: Some(8), fill: true });
        let mask = Some(Mask { bytes: png(&mask), redraw: Redraw::White, paste });
        let request = ImageRequest {
            prompt: "a red apple".into(),
            width: Some(64),
            height: Some(64),
            steps: Some(2),
            count: 2,
            init: Some(InitImage { bytes: png(&whole), strength: 1.0, mask }),
            ..ImageRequest::default()
        };
        let id = service.submit(request, Priority::Normal).await.unwrap().id;
        let reports = service.watch(id.clone(), WatchOptions::default()).await.unwrap();
        let steps: Vec<(u32, u32)> = reports.map(|report| (report.step, report.steps)).collect().await;
        assert!(steps.is_sorted() && steps.ends_with(&[(4, 4)]), "{steps:?}");
        let task = service.task(id).await.unwrap();
        assert_eq!((task.status, task.images.len()), (Status::Completed, 2));
        let link = Link::to(&service.image(task.images[1]).await.unwrap());
        let (_, bytes) = easel_contract::tools::whole(&service, &link).await.unwrap();
        let settings = read_metadata(&bytes).unwrap().unwrap();
        assert!(settings.contains("Inpaint area: Only masked, Masked area padding: 8"), "{settings}");
        let drawn = Image::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((drawn.width, drawn.height), (192, 128));
        let mut changed = 0;
        for (at, (new, old)) in drawn.rgb8.chunks(3).zip(whole.rgb8.chunks(3)).enumerate() {
            assert!(new == old || is_inside(at % 192, at / 192), "pixel {at} stays");
            changed += usize::from(new != old);
        }
        assert!(changed > 100, "{changed} pixels were drawn");
    }
}
