//! Analyses of pictures: one after the other, each on a thread that may block, and only for as long as its client waits.
//!
//! An analysis is not a task of the queue: it makes no picture, and nothing of it is stored. A part that cannot be made,
//! because there is no model for it or because that cannot be loaded, is a message in its place.

use super::models::{Lease, Seeing};
use super::{Config, Devices, Parts, error};
use crate::model::{self, Cutting, Scorer, Whole};
use easel_contract::service::{Analysis, AnalysisRequest, Cut, NO_CLIP, NO_SAM, Region, Result, Spot};
use easel_contract::{Check, Error, Limits, limits};
use easel_inference::analysis::{Automatic, Bitmap, Prompt};
use easel_inference::pipeline::CancelToken;
use easel_inference::tensor::DeviceKind;
use easel_jobs::TaskId;
use easel_picture::Image;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, TryAcquireError};

/// The most analyses at a time: one that is at work, and others that wait with their pictures in memory.
const PLACES: usize = 16;

/// How long a refused client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 5;

/// The most masks where everything is cut out: as many as for the most regions.
const MASKS: usize = 3 * limits::REGIONS_MAX;

/// The largest distance between a polygon and the edge of its mask, in pixels.
const TOLERANCE: f64 = 1.0;

/// The fields of a request that a model may refuse.
const FIELDS: [&str; 4] = ["image", "texts", "roi", "mask"];

/// Analyses pictures.
pub(super) struct Analyst {
    seeing: Seeing,
    devices: Arc<Devices>,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Whose turn it is.
    turn: Arc<Semaphore>,
}

/// Cancels an analysis when the future that waits for it is dropped, as it is when its client leaves.
struct Waiting(CancelToken);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Why a part was not made.
enum Fault {
    /// The fault lies in the request, or the client has left.
    Request(Error),
    /// There is no such part.
    Part(String),
}

/// A CLIP, and what it said of the whole picture.
struct Scoring {
    scorer: Lease<Scorer>,
    texts: Vec<Vec<f32>>,
    scores: Vec<f32>,
}

/// A request whose pictures are decoded.
struct Question {
    request: AnalysisRequest,
    image: Image,
    prompts: Vec<Prompt>,
    mask: Option<Bitmap>,
    device: DeviceKind,
}

impl Analyst {
    /// With the models of this configuration.
    pub(super) fn new(config: &Config, parts: &Parts) -> error::Result<Self> {
        Ok(Self {
            seeing: Seeing::new(config)?,
            devices: Arc::clone(&parts.devices),
            limits: config.limits,
            places: Arc::new(Semaphore::new(PLACES)),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Refuses analyses from now on; the one at work goes on.
    pub(super) fn close(&self) {
        self.places.close();
        self.turn.close();
    }

    /// Analyses a picture when it is its turn.
    pub(super) async fn analyze(self: &Arc<Self>, request: AnalysisRequest) -> Result<Analysis> {
        let stopping = || Error::ShuttingDown { retry_after: RETRY_AFTER };
        request.check(&self.limits)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => Error::QueueFull { retry_after: RETRY_AFTER },
            TryAcquireError::Closed => stopping(),
        })?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| stopping())?;
        let waiting = Waiting(CancelToken::default());
        let cancel = waiting.0.clone();
        let analyst = Arc::clone(self);
        let seen = tokio::task::spawn_blocking(move || {
            let seen = analyst.look(request, &cancel);
            drop((turn, place));
            seen
        });
        seen.await.map_err(Error::internal)?
    }

    fn look(&self, request: AnalysisRequest, cancel: &CancelToken) -> Result<Analysis> {
        let began = Instant::now();
        let id = TaskId::new_v4().to_string();
        let question = self.question(request)?;
        let scoring = part(self.score(&question, cancel))?;
        let cuts = part(self.cut(&question, scoring.as_ref().ok(), cancel))?;
        let scores = scoring.map(|scoring| scoring.scores);
        let AnalysisRequest { texts, regions, .. } = &question.request;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            request = id,
            texts = texts.len(),
            regions = regions.len(),
            has_scores = scores.is_ok(),
            masks = cuts.as_ref().map_or(0, Vec::len),
            milliseconds,
            "a picture was analysed"
        );
        Ok(Analysis { id, scores, cuts })
    }

    /// Decodes the pictures of a request, and checks it against them.
    fn question(&self, request: AnalysisRequest) -> Result<Question> {
        let image = self.decoded("image", &request.image)?;
        let prompts: Vec<Prompt> = request.regions.iter().map(prompt).collect();
        let size = [image.width, image.height];
        prompts.iter().try_for_each(|prompt| prompt.check(size)).map_err(|error| refused("roi", &error))?;
        let mask = request.mask.as_ref().map(|mask| self.decoded("mask", mask)).transpose()?;
        let mask = mask.map(|mask| bitmap(&mask)).transpose().map_err(|error| refused("mask", &error))?;
        Ok(Question { request, image, prompts, mask, device: self.devices.selected() })
    }

    fn decoded(&self, field: &'static str, bytes: &[u8]) -> Result<Image> {
        let pixels = usize::try_from(self.limits.analysis_pixels).unwrap_or(usize::MAX);
        let limits = easel_picture::Limits { pixels, ..easel_picture::Limits::default() };
        Image::decode(bytes, &limits).map_err(|error| refused(field, &error))
    }

    fn score(&self, question: &Question, cancel: &CancelToken) -> Result<Scoring, Fault> {
        let clip = self.seeing.clip.as_ref().ok_or_else(|| Fault::Part(NO_CLIP.to_owned()))?;
        let fault = |error| self.fault("clip", error);
        let scorer = clip.lease(question.device, cancel).map_err(fault)?;
        let texts: Vec<&str> = question.request.texts.iter().map(String::as_str).collect();
        let texts = scorer.embed(&texts).map_err(fault)?;
        cancel.check().map_err(|error| fault(error.into()))?;
        let scores = scorer.score(&question.image, &texts).map_err(fault)?;
        Ok(Scoring { scorer, texts, scores })
    }

    fn cut(&self, question: &Question, scoring: Option<&Scoring>, cancel: &CancelToken) -> Result<Vec<Cut>, Fault> {
        let sam = self.seeing.sam.as_ref().ok_or_else(|| Fault::Part(NO_SAM.to_owned()))?;
        let fault = |error| self.fault("sam", error);
        let cutter = sam.lease(question.device, cancel).map_err(fault)?;
        let scoring = scoring.filter(|_| question.request.each);
        let whole = Whole { file: &question.request.image, image: &question.image };
        let everything = Automatic::default();
        let mask = question.mask.as_ref();
        let cutting = Cutting { prompts: &question.prompts, mask, everything: &everything, most: MASKS };
        let mut cuts = Vec::new();
        let cut = cutter.cut(whole, cutting, cancel, &mut |mask, iou| {
            cancel.check()?;
            let scores = scoring.map(|scoring| scoring.scorer.score(&alone(&question.image, &mask), &scoring.texts));
            let scores = scores.transpose()?.unwrap_or_default();
            cuts.push(Cut { mask: mask.to_png()?.into(), iou, rings: rings(&mask)?, scores });
            Ok(())
        });
        cut.map(|()| cuts).map_err(fault)
    }

    /// What an error of a model is for the client. Details that do not concern it are only in the log.
    fn fault(&self, part: &str, error: model::Error) -> Fault {
        use easel_inference::Error as Inference;
        match error {
            model::Error::Inference(Inference::Cancelled) => Fault::Request(Error::TaskCancelled),
            model::Error::Inference(ref error @ Inference::Invalid { field, .. }) if FIELDS.contains(&field) => {
                Fault::Request(refused(field, error))
            }
            error => {
                let said = error.to_string();
                tracing::error!(part, error = said, "a part of an analysis failed");
                Fault::Part(format!("{part}: {}", self.seeing.without_folders(&said)))
            }
        }
    }
}

/// A part, or why there is none; fails if the fault lies in the request.
fn part<T>(made: Result<T, Fault>) -> Result<Result<T, String>> {
    match made {
        Ok(part) => Ok(Ok(part)),
        Err(Fault::Part(reason)) => Ok(Err(reason)),
        Err(Fault::Request(error)) => Err(error),
    }
}

fn prompt(region: &Region) -> Prompt {
    let Region { start, end } = *region;
    match end {
        Some(end) => Prompt::area([start.x, start.y, end.x, end.y]),
        None => Prompt::point(start.x, start.y),
    }
}

/// The bright pixels of a mask.
fn bitmap(mask: &Image) -> easel_inference::Result<Bitmap> {
    let pixels = mask.to_luma().into_iter().map(|level| level > 127).collect();
    Bitmap::new(mask.width, mask.height, pixels)
}

/// The picture with all but a mask black.
fn alone(image: &Image, mask: &Bitmap) -> Image {
    let mut alone = image.clone();
    for (pixel, inside) in alone.rgb8.as_chunks_mut::<3>().0.iter_mut().zip(mask.pixels()) {
        if !inside {
            *pixel = [0; 3];
        }
    }
    alone
}

/// The rings of all polygons of a mask.
fn rings(mask: &Bitmap) -> easel_inference::Result<Vec<Vec<Spot>>> {
    let polygons = mask.polygons(TOLERANCE)?;
    let rings = polygons.iter().flat_map(|polygon| polygon.rings());
    Ok(rings.map(|ring| ring.iter().map(|[x, y]| Spot { x: *x, y: *y }).collect()).collect())
}

/// An error about a field.
fn refused(field: &str, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let reason = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
    Error::invalid(field, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use easel_picture::{EncodeOptions, ImageFormat};

    const SAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sam");

    fn analyst() -> Arc<Analyst> {
        let config = Config { sam: Some(SAM.into()), device: DeviceKind::Cpu, ..Config::default() };
        Arc::new(Analyst::new(&config, &Parts::new(&config).unwrap()).unwrap())
    }

    fn request() -> AnalysisRequest {
        let image = Image::stub(60, 40).unwrap().encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
        let region = Region { start: Spot { x: 30.0, y: 20.0 }, end: None };
        let texts = vec!["a cat".to_owned()];
        AnalysisRequest { image: image.into(), texts, regions: vec![region], ..AnalysisRequest::default() }
    }

    #[tokio::test]
    async fn f11_an_analysis_ends_when_its_client_leaves() {
        let analyst = analyst();
        let gone = CancelToken::default();
        drop(Waiting(gone.clone()));
        assert_eq!(analyst.look(request(), &gone), Err(Error::TaskCancelled));

        let held = Arc::clone(&analyst.turn).acquire_owned().await.unwrap();
        let waits = tokio::spawn({
            let analyst = Arc::clone(&analyst);
            async move { analyst.analyze(request()).await }
        });
        while analyst.places.available_permits() == PLACES {
            tokio::task::yield_now().await;
        }
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(analyst.places.available_permits(), PLACES, "nothing of it stays");
        drop(held);
        assert_eq!(analyst.analyze(request()).await.unwrap().cuts.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn analyses_that_wait_are_counted_and_refused_when_the_service_stops() {
        let analyst = analyst();
        let all = u32::try_from(PLACES).unwrap();
        let held = Arc::clone(&analyst.places).try_acquire_many_owned(all).unwrap();
        assert_eq!(analyst.analyze(request()).await, Err(Error::QueueFull { retry_after: RETRY_AFTER }));
        drop(held);
        analyst.close();
        assert_eq!(analyst.analyze(request()).await, Err(Error::ShuttingDown { retry_after: RETRY_AFTER }));
    }

    #[tokio::test]
    async fn a_picture_that_breaks_off_is_refused_by_its_field() {
        let whole = request();
        let image = whole.image.slice(..whole.image.len() - 20);
        let refused = analyst().analyze(AnalysisRequest { image, ..whole }).await.unwrap_err();
        assert!(refused.to_string().starts_with("image: "), "{refused}");
    }

    #[test]
    fn a_part_alone_is_the_picture_with_the_rest_black() {
        let image = Image::stub(2, 1).unwrap();
        let mask = Bitmap::new(2, 1, vec![false, true]).unwrap();
        assert_eq!(alone(&image, &mask).rgb8, [0, 0, 0, 0, 100, 200]);
    }
}
