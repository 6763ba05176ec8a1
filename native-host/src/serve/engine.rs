//! The queue's engine over the inference pipeline: a request in, encoded pictures out.

use super::conversions::{format, redraw};
use super::{Metrics, Parts};
use crate::model::{self, LoadedModel};
use bytes::Bytes;
use easel_contract::Check;
use easel_contract::service::{Encoding, ImageRequest};
use easel_inference::pipeline::{CancelToken, InitImage, Phase, Picture, Progress, Request, Watcher};
use easel_jobs::{Engine, EngineError, Job, NewPicture};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits};
use std::time::Instant;

/// The quality of previews, which are JPEGs.
const PREVIEW_QUALITY: u8 = 75;

/// Runs the queue's tasks with the models that they name.
pub struct ModelEngine(Parts);

impl ModelEngine {
    /// An engine that shares the loaded models with other engines.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }

    fn draw(&self, job: &Job<'_>) -> Result<Vec<NewPicture>, Failure> {
        let Parts { models, devices, metrics, limits } = &self.0;
        let asked: ImageRequest = serde_json::from_slice(job.request())?;
        asked.check(limits).map_err(Failure::Limits)?;
        let name = asked.model.clone().unwrap_or_default();
        let encoding = asked.encoding.unwrap_or_default();
        let cancel = CancelToken::default();
        let mut report = Report { job, cancel: cancel.clone(), began: Instant::now(), metrics };
        let model = models.get(&name, devices.selected(), &without_pictures(&asked), &mut report, &cancel)?;
        let pictures = model.generate(&request(asked, &model)?, &mut report, &cancel)?;
        metrics.drawn(pictures.len(), report.began.elapsed());
        pictures.iter().map(|picture| Ok(encode(picture, encoding)?)).collect()
    }
}

impl Engine for ModelEngine {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        self.draw(job).map_err(|failure| match failure {
            Failure::Model(model::Error::Inference(easel_inference::Error::Cancelled)) => EngineError::Stopped,
            failure => {
                let said = failure.to_string();
                tracing::error!(task = %job.task().id, error = said, "a task failed");
                EngineError::Failed(self.0.models.without_folders(&said))
            }
        })
    }
}

/// Why a task has no pictures.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the request was queued by another version: {0}")]
    Request(#[from] serde_json::Error),
    #[error(transparent)]
    Limits(easel_contract::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
}

impl From<easel_inference::Error> for Failure {
    fn from(error: easel_inference::Error) -> Self {
        Self::Model(error.into())
    }
}

/// The request in the pipeline's terms.
fn request(asked: ImageRequest, model: &LoadedModel) -> easel_inference::Result<Request> {
    let seed = asked.seed.unwrap_or_default();
    let pictures = Request::new(&asked.prompt, asked.negative_prompt.as_deref(), seed, asked.count as usize);
    let mut request = Request { prompts: pictures.prompts, ..without_pictures(&asked) };
    request.preview_every = 1;
    if let Some(init) = asked.init {
        let image = Image::decode(&init.bytes, &Limits::default())?;
        // An initial picture is redrawn in the model's default size, not in its own.
        if let Some(defaults) = model.defaults() {
            request.width.get_or_insert(defaults.width);
            request.height.get_or_insert(defaults.height);
        }
        let mask = init.mask.map(|mask| Image::decode_mask(&mask.bytes, redraw(mask.redraw), &Limits::default()));
        let mask = mask.transpose()?;
        request.init = Some(InitImage { image, strength: init.strength, all_steps: false, mask });
    }
    Ok(request)
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
struct Report<'a, 'j> {
    job: &'a Job<'j>,
    cancel: CancelToken,
    began: Instant,
    metrics: &'a Metrics,
}

impl Watcher for Report<'_, '_> {
    fn progress(&mut self, progress: &Progress) {
        if self.job.should_stop() {
            self.cancel.cancel();
        }
        if progress.phase == Phase::Denoise {
            self.metrics.stepped();
            let preview = progress.preview.as_ref().and_then(preview);
            let steps = |steps: usize| u32::try_from(steps).unwrap_or(u32::MAX);
            let progress = easel_jobs::Progress { step: steps(progress.step), steps: steps(progress.of) };
            self.job.report(progress, preview);
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
    use easel_contract::service::{ImageRequest, Status, WatchOptions};
    use easel_jobs::{NewTask, SqliteStore, Store};
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
}
