//! The engine that draws: the worker, behind an object that it hands in.

use super::store::{Steps, TaskStore};
use crate::error::to_js;
use bytes::Bytes;
use easel_contract::service::{Encoding, Hires, ImageRequest, InitImage, Mask, PictureFormat, Redraw};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, read_metadata};
use js_sys::Promise;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The object that the worker hands in.
    pub type Engine;

    /// Draws one picture when its turn has come, and reports its steps to `report`; a promise of a PNG file's bytes.
    #[wasm_bindgen(method)]
    pub(super) fn draw(this: &Engine, task: &str, request: JsValue, report: Report) -> Promise;

    /// Stops the drawing of a task.
    #[wasm_bindgen(method)]
    pub(super) fn cancel(this: &Engine, task: &str);

    /// The model that is loaded.
    #[wasm_bindgen(method)]
    pub(super) fn model(this: &Engine) -> Option<String>;

    /// What computes: wasm or webgpu.
    #[wasm_bindgen(method)]
    pub(super) fn backend(this: &Engine) -> String;

    /// A new UUID.
    #[wasm_bindgen(method)]
    pub(super) fn uuid(this: &Engine) -> String;

    /// A promise that is resolved after this many milliseconds.
    #[wasm_bindgen(method)]
    pub(super) fn sleep(this: &Engine, milliseconds: f64) -> Promise;
}

/// The time; wasm has no clock of its own.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(js_sys::Date::now() as u64)
}

/// One picture of a request, under the names of the package's `generate`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drawing<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    negative_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance_scale: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler: Option<&'a str>,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_image: Option<&'a serde_bytes::Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strength: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<serde_bytes::ByteBuf>,
    preview_every: u32,
}

/// The picture with this seed, as the engine is asked for it.
pub(super) fn drawing(request: &ImageRequest, seed: u64) -> Result<JsValue, JsValue> {
    let mask = request.init.as_ref().and_then(|init| init.mask.as_ref());
    let drawing = Drawing {
        prompt: &request.prompt,
        negative_prompt: request.negative_prompt.as_deref(),
        width: request.width,
        height: request.height,
        steps: request.steps,
        guidance_scale: request.guidance_scale,
        scheduler: request.scheduler.as_deref(),
        seed,
        init_image: request.init.as_ref().map(|init| serde_bytes::Bytes::new(&init.bytes)),
        strength: request.init.as_ref().map(|init| init.strength),
        mask: mask.map(white_mask).transpose().map_err(|error| to_js(error.into()))?,
        preview_every: 1,
    };
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_large_number_types_as_bigints(true);
    drawing.serialize(&serializer).map_err(Into::into)
}

/// The request that draws a picture again in the size that it is enlarged to.
pub(super) fn second(request: &ImageRequest, hires: Hires, png: Vec<u8>) -> easel_picture::Result<ImageRequest> {
    let (width, height) = Image::dimensions(&png)?;
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width, height) = hires.size(side(width), side(height));
    let init = Some(InitImage { bytes: png.into(), strength: hires.strength, mask: None });
    let steps = hires.steps.or(request.steps);
    Ok(ImageRequest { width: Some(width), height: Some(height), steps, init, hires: None, ..request.clone() })
}

/// The mask as the engine takes it: white where it is drawn anew.
fn white_mask(mask: &Mask) -> easel_picture::Result<serde_bytes::ByteBuf> {
    let redraw = match mask.redraw {
        Redraw::White => easel_picture::Redraw::White,
        Redraw::Black => easel_picture::Redraw::Black,
        Redraw::Transparent => easel_picture::Redraw::Transparent,
    };
    let image = Image::decode_mask(&mask.bytes, redraw, &Limits::default())?;
    image.encode(ImageFormat::Png, &EncodeOptions::default()).map(serde_bytes::ByteBuf::from)
}

/// The picture in the format that a request asks for, with its settings; and its media type.
pub(super) fn encoded(png: Vec<u8>, encoding: Encoding) -> easel_picture::Result<(Vec<u8>, &'static str)> {
    let format = match encoding.format {
        PictureFormat::Png => return Ok((png, ImageFormat::Png.media_type())),
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
    };
    let settings = read_metadata(&png)?;
    let mut options = EncodeOptions { parameters: settings.as_deref(), ..EncodeOptions::default() };
    if let Some(quality) = encoding.quality {
        options.quality = u8::try_from(quality).unwrap_or(u8::MAX);
    }
    let bytes = Image::decode(&png, &Limits::default())?.encode(format, &options)?;
    Ok((bytes, format.media_type()))
}

/// Where the engine reports on one picture of a task.
#[wasm_bindgen]
pub struct Report {
    pub(super) store: Arc<Mutex<TaskStore>>,
    pub(super) task: String,
    /// Its place among the pictures of the task, from 0.
    pub(super) picture: u32,
    /// The number of pictures of the task.
    pub(super) pictures: u32,
    /// Over all pictures.
    pub(super) steps: Steps,
}

#[wasm_bindgen]
impl Report {
    /// `step` of `of` denoising steps are done.
    pub fn progress(&mut self, step: u32, of: u32) {
        let Self { picture, pictures, .. } = *self;
        self.steps = Steps { done: picture * of + step, of: pictures * of };
        self.store.lock().progress(&self.task, self.steps, None);
    }

    /// What the picture looks like so far, four bytes per pixel.
    pub fn preview(&mut self, width: u32, height: u32, rgba: Vec<u8>) {
        let image = Image::from_samples(width as usize, height as usize, 4, rgba);
        let options = EncodeOptions { quality: 80, ..EncodeOptions::default() };
        // The page does without a preview that cannot be made.
        if let Ok(jpeg) = image.and_then(|image| image.encode(ImageFormat::Jpeg, &options)) {
            self.store.lock().progress(&self.task, self.steps, Some(Bytes::from(jpeg)));
        }
    }
}
