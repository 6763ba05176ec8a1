//! The queue's engine over the inference pipeline: a request in, encoded pictures out.

use super::conversions::{format, redraw};
use super::{Metrics, Parts};
use crate::model::{self, LoadedModel};
use bytes::Bytes;
use easel_contract::Check;
use easel_contract::service::{Encoding, Hires, ImageRequest};
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
        let mut report = Report::new(job, cancel.clone(), metrics);
        let model = models.get(&name, devices.selected(), &without_pictures(&asked), &mut report, &cancel)?;
        let pictures = match asked.hires {
            None => model.generate(&request(asked, &model)?, &mut report, &cancel)?,
            Some(hires) => draw_twice(&asked, hires, &model, &mut report)?,
        };
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

/// Draws pictures, enlarges them and draws them again ("hires fix").
fn draw_twice(
    asked: &ImageRequest,
    hires: Hires,
    model: &LoadedModel,
    report: &mut Report<'_, '_>,
) -> Result<Vec<Picture>, Failure> {
    let cancel = report.cancel.clone();
    let usual = model.defaults().map_or(1, |defaults| u32::try_from(defaults.steps).unwrap_or(u32::MAX));
    let again = hires.steps(asked.steps.unwrap_or(usual)) as usize;
    report.to_come = again * asked.count as usize;
    let small = ImageRequest { hires: None, ..asked.clone() };
    let drawn = model.generate(&request(small, model)?, report, &cancel)?;
    let mut pictures = Vec::with_capacity(drawn.len());
    for picture in drawn {
        report.next_pass(again);
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let size = hires.size(side(picture.image.width), side(picture.image.height));
        let asked = ImageRequest { seed: Some(picture.seed), ..second(asked, hires, size) };
        let mut request = request(asked, model)?;
        let strength = hires.strength;
        request.init = Some(InitImage { image: picture.image, strength, all_steps: false, mask: None });
        for mut picture in model.generate(&request, report, &cancel)? {
            let resize = ("Hires resize".to_owned(), format!("{}x{}", size.0, size.1));
            picture.parameters.other.push(resize);
            pictures.push(picture);
        }
    }
    Ok(pictures)
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
    /// Steps of the passes before this one.
    done: usize,
    /// Steps of this pass.
    of: usize,
    /// Steps of the passes after this one.
    to_come: usize,
}

impl<'a, 'j> Report<'a, 'j> {
    fn new(job: &'a Job<'j>, cancel: CancelToken, metrics: &'a Metrics) -> Self {
        Self { job, cancel, began: Instant::now(), metrics, done: 0, of: 0, to_come: 0 }
    }

    /// A pass of about this many steps begins.
    fn next_pass(&mut self, steps: usize) {
        self.done += self.of;
        self.of = 0;
        self.to_come = self.to_come.saturating_sub(steps);
    }
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
            self.of = progress.of;
            let of = self.done + self.of + self.to_come;
            let progress = easel_jobs::Progress { step: steps(self.done + progress.step), steps: steps(of) };
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
