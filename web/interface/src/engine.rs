//! The engine: the worker, through an object that it provides.

use crate::error::from_picture;
use crate::store::{Steps, TaskStore};
use bytes::Bytes;
use easel_contract::limits::{SIZE_MIN, SIZE_STEP};
use easel_contract::service::{Encoding, Hires, ImageRequest, InitImage, Mask, Paste, PictureFormat, Redraw};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, Retouch, Retouching, read_metadata};
use js_sys::Promise;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The worker's object.
    pub type Engine;

    /// Draws one picture when it is its turn, and reports its steps to `report`. Returns a promise of a PNG file's
    /// bytes.
    #[wasm_bindgen(method)]
    pub(crate) fn draw(this: &Engine, task: &str, request: JsValue, report: Report) -> Promise;

    /// Stops the drawing of a task.
    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Engine, task: &str);

    /// The model that is loaded.
    #[wasm_bindgen(method)]
    pub(crate) fn model(this: &Engine) -> Option<String>;

    /// The backend: wasm or webgpu.
    #[wasm_bindgen(method)]
    pub(crate) fn backend(this: &Engine) -> String;

    /// The samplers that it has: objects with a name, a label and whether the name may end with a respacing.
    #[wasm_bindgen(method)]
    pub(crate) fn samplers(this: &Engine) -> JsValue;

    /// A new UUID.
    #[wasm_bindgen(method)]
    pub(crate) fn uuid(this: &Engine) -> String;

    /// A promise that is resolved after this many milliseconds.
    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &Engine, milliseconds: f64) -> Promise;
}

/// The time; wasm has no clock of its own.
pub(crate) fn now() -> SystemTime {
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

/// The engine's request for the picture with this seed.
pub(crate) fn drawing(request: &ImageRequest, seed: u64) -> Result<JsValue, JsValue> {
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
        mask: mask.map(white_mask).transpose().map_err(from_picture)?,
        preview_every: 1,
    };
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_large_number_types_as_bigints(true);
    drawing.serialize(&serializer).map_err(Into::into)
}

/// The request that redraws a picture in its enlarged size.
pub(crate) fn second(request: &ImageRequest, hires: Hires, png: Vec<u8>) -> easel_picture::Result<ImageRequest> {
    let (width, height) = Image::dimensions(&png)?;
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width, height) = hires.size(side(width), side(height));
    let init = Some(InitImage { bytes: png.into(), strength: hires.strength, mask: None });
    let steps = hires.steps.or(request.steps);
    Ok(ImageRequest { width: Some(width), height: Some(height), steps, init, hires: None, ..request.clone() })
}

/// The request for the masked area of a picture, and the paste for its drawing. `None` for requests without a paste.
pub(crate) fn retouched(request: &ImageRequest) -> easel_picture::Result<Option<(ImageRequest, Retouch)>> {
    let Some(init) = &request.init else { return Ok(None) };
    let Some(mask) = &init.mask else { return Ok(None) };
    let Some(Paste { blur, margin, fill }) = mask.paste else { return Ok(None) };
    let picture = Image::decode(&init.bytes, &Limits::default())?;
    let white = decoded_mask(mask)?;
    let whole = |side: usize| (side as u64 / SIZE_STEP * SIZE_STEP).max(SIZE_MIN) as u32;
    let width = request.width.unwrap_or(whole(picture.width));
    let height = request.height.unwrap_or(whole(picture.height));
    let how = Retouching { blur: blur as usize, margin: margin.map(|margin| margin as usize), fill };
    let retouch = Retouch::new(&picture, &white, width as usize, height as usize, how)?;
    let mask = match &retouch.mask {
        Some(mask) => Some(Mask { bytes: png(mask, None)?.into(), redraw: Redraw::White, paste: None }),
        None => None,
    };
    let init = Some(InitImage { bytes: png(&retouch.start, None)?.into(), strength: init.strength, mask });
    let part = ImageRequest { width: Some(width), height: Some(height), init, ..request.clone() };
    Ok(Some((part, retouch)))
}

/// The picture with the drawing pasted into it, and the drawing's settings.
pub(crate) fn put_back(retouch: &Retouch, drawn: &[u8]) -> easel_picture::Result<Vec<u8>> {
    let settings = read_metadata(drawn)?;
    png(&retouch.finish(Image::decode(drawn, &Limits::default())?)?, settings.as_deref())
}

fn png(image: &Image, parameters: Option<&str>) -> easel_picture::Result<Vec<u8>> {
    image.encode(ImageFormat::Png, &EncodeOptions { parameters, ..EncodeOptions::default() })
}

/// The mask for the engine: white where the picture is redrawn.
fn white_mask(mask: &Mask) -> easel_picture::Result<serde_bytes::ByteBuf> {
    png(&decoded_mask(mask)?, None).map(serde_bytes::ByteBuf::from)
}

fn decoded_mask(mask: &Mask) -> easel_picture::Result<Image> {
    let redraw = match mask.redraw {
        Redraw::White => easel_picture::Redraw::White,
        Redraw::Black => easel_picture::Redraw::Black,
        Redraw::Transparent => easel_picture::Redraw::Transparent,
    };
    Image::decode_mask(&mask.bytes, redraw, &Limits::default())
}

/// The picture in the requested format, with its settings, and its media type.
pub(crate) fn encoded(png: Vec<u8>, encoding: Encoding) -> easel_picture::Result<(Vec<u8>, &'static str)> {
    let format = match encoding.format {
        PictureFormat::Png => return Ok((png, ImageFormat::Png.media_type())),
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
        PictureFormat::Bmp => ImageFormat::Bmp,
        PictureFormat::Tiff => ImageFormat::Tiff,
        PictureFormat::Gif => ImageFormat::Gif,
    };
    let settings = read_metadata(&png)?;
    let mut options = EncodeOptions { parameters: settings.as_deref(), ..EncodeOptions::default() };
    if let Some(quality) = encoding.quality {
        options.quality = u8::try_from(quality).unwrap_or(u8::MAX);
    }
    let bytes = Image::decode(&png, &Limits::default())?.encode(format, &options)?;
    Ok((bytes, format.media_type()))
}

/// The receiver of the engine's reports on one picture of a task.
#[wasm_bindgen]
pub struct Report {
    pub(crate) store: Arc<Mutex<TaskStore>>,
    pub(crate) task: String,
    /// Its position among the pictures of the task, from 0.
    pub(crate) picture: u32,
    /// The number of pictures of the task.
    pub(crate) pictures: u32,
    /// Over all pictures.
    pub(crate) steps: Steps,
}

#[wasm_bindgen]
impl Report {
    /// `step` of `of` denoising steps are done.
    pub fn progress(&mut self, step: u32, of: u32) {
        let Self { picture, pictures, .. } = *self;
        self.steps = Steps { done: picture * of + step, of: pictures * of };
        self.store.lock().progress(&self.task, self.steps, None);
    }

    /// A preview of the picture, with four bytes per pixel.
    pub fn preview(&mut self, width: u32, height: u32, rgba: Vec<u8>) {
        let image = Image::from_samples(width as usize, height as usize, 4, rgba);
        let options = EncodeOptions { quality: 80, ..EncodeOptions::default() };
        // Without a preview the run continues.
        if let Ok(jpeg) = image.and_then(|image| image.encode(ImageFormat::Jpeg, &options)) {
            self.store.lock().progress(&self.task, self.steps, Some(Bytes::from(jpeg)));
        }
    }
}
