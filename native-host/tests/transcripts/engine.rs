//! The engine that the transcripts assume.

use bytes::Bytes;
use easel_contract::service::{ImageRequest, PictureFormat};
use easel_jobs::{Engine, EngineError, Job, NewPicture, Progress};
use easel_picture::{EncodeOptions, Image, ImageFormat};
use std::time::Duration;

/// Draws the stub picture in steps of 10 ms or of a second, and fails if the prompt says so.
pub(crate) struct Slow;

impl Engine for Slow {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Failed(error.to_string());
        let request: ImageRequest = serde_json::from_slice(job.request()).map_err(|error| failed(&error))?;
        let each = request.steps.unwrap_or(20);
        let steps = each * request.count;
        let mut pictures = Vec::new();
        for step in 1..=steps {
            if job.should_stop() {
                return Err(EngineError::Stopped);
            }
            std::thread::sleep(Duration::from_millis(if request.prompt == "slowly" { 1000 } else { 10 }));
            if request.prompt.contains("please fail") {
                return Err(EngineError::Failed("asked to fail".into()));
            }
            let preview = job.wants_previews().then(|| Bytes::from_static(b"\xff\xd8\xff"));
            job.report(Progress { step, steps }, preview);
            if step % each == 0 {
                let picture = picture(&request, steps, u64::from(step / each) - 1).map_err(|error| failed(&error))?;
                job.keep(picture.clone());
                pictures.push(picture);
            }
        }
        Ok(pictures)
    }
}

/// The picture with this number.
fn picture(request: &ImageRequest, steps: u32, number: u64) -> easel_picture::Result<NewPicture> {
    let [width, height] = [request.width, request.height].map(|side| side.unwrap_or(512));
    let (width, height) = request.hires.map_or((width, height), |hires| hires.size(width, height));
    let [width, height] = [width, height].map(|side| side as usize);
    let format = match request.encoding.unwrap_or_default().format {
        PictureFormat::Png => ImageFormat::Png,
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
        PictureFormat::Bmp => ImageFormat::Bmp,
        PictureFormat::Tiff => ImageFormat::Tiff,
        PictureFormat::Gif => ImageFormat::Gif,
    };
    let seed = request.seed.unwrap_or_default().wrapping_add(number);
    let parameters = format!("{}\nSteps: {steps}, Seed: {seed}, Size: {width}x{height}", request.prompt);
    let options = EncodeOptions { parameters: Some(&parameters), ..EncodeOptions::default() };
    let bytes = Image::stub(width, height)?.encode(format, &options)?.into();
    Ok(NewPicture { bytes, media_type: format.media_type().into(), seed })
}
