//! `Model`: a pipeline in wasm memory, and the pictures that it draws.

use crate::events::Events;
use crate::options::GenerateOptions;
use easel_inference::families::{ModelFiles, OpenOptions, SamplingDefaults};
use easel_inference::pipeline::{LoadOptions, Pipeline};
use easel_inference::sampling::Scheduler;
use easel_inference::{Device, Error};
use easel_web_common::{Backend, Cancel, files, gpu_bytes, read, to_js};
use js_sys::Array;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

/// How a model is loaded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Load {
    /// Its name in the metadata of pictures.
    name: String,
    /// wasm or webgpu.
    backend: String,
    /// Defaults that the model's files do not contain.
    steps: Option<usize>,
    guidance_scale: Option<f64>,
}

/// The model's defaults.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    width: usize,
    height: usize,
    steps: usize,
    guidance_scale: f64,
    scheduler: String,
}

/// A finished picture.
#[wasm_bindgen]
pub struct Drawn {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    png: Vec<u8>,
    parameters: String,
}

#[wasm_bindgen]
impl Drawn {
    /// The PNG file with the settings inside.
    #[wasm_bindgen(getter)]
    pub fn png(&self) -> Vec<u8> {
        self.png.clone()
    }

    /// The settings in AUTOMATIC1111's format.
    #[wasm_bindgen(getter)]
    pub fn parameters(&self) -> String {
        self.parameters.clone()
    }
}

/// A model on its device.
#[wasm_bindgen]
pub struct Model {
    pipeline: Pipeline,
    backend: Backend,
    device: Device,
}

#[wasm_bindgen]
impl Model {
    /// Loads the model in `pairs` of a path and a `Blob`: a diffusers folder, or one checkpoint.
    pub async fn load(pairs: Array, options: JsValue, mut events: Events, cancel: &Cancel) -> Result<Model, JsValue> {
        let options: Load = read(options).map_err(to_js)?;
        let token = cancel.token().clone();
        let loaded = async {
            let backend = Backend::parse(&options.backend)?;
            let device = backend.open().await?;
            let mut files = ModelFiles::open(&files(&options.name, &pairs)?, &OpenOptions::default()).await?;
            if files.lacks_vocabulary() {
                files.set_vocabulary(events.fetch_vocabulary().await?);
            }
            let sampling = options.steps.zip(options.guidance_scale);
            let sampling = sampling.map(|(steps, guidance_scale)| SamplingDefaults { steps, guidance_scale });
            let load = LoadOptions { name: options.name, sampling, ..LoadOptions::new(device.clone()) };
            Ok(Self { pipeline: Pipeline::load(&files, &load, &mut events, &token).await?, backend, device })
        };
        loaded.await.map_err(to_js)
    }

    /// Draws one picture. `options` are those of the package's `generate`.
    pub async fn generate(&self, options: JsValue, mut events: Events, cancel: &Cancel) -> Result<Drawn, JsValue> {
        let request = read::<GenerateOptions>(options).and_then(GenerateOptions::into_request).map_err(to_js)?;
        let drawn = async {
            let mut pictures = self.pipeline.generate(&request, &mut events, cancel.token()).await?;
            let picture = pictures.pop().ok_or_else(|| Error::invalid("count", "no picture was drawn"))?;
            let parameters = picture.parameters.to_string();
            let png = picture.image.encode_png(Some(&parameters))?;
            // Sides are at most `SIZE_MAX`.
            Ok(Drawn { width: picture.image.width as u32, height: picture.image.height as u32, png, parameters })
        };
        drawn.await.map_err(to_js)
    }

    /// The default size, steps, guidance scale and scheduler.
    pub fn defaults(&self) -> Result<JsValue, JsValue> {
        let defaults = self.pipeline.defaults();
        let (sampler, schedule) = self.pipeline.scheduler().label();
        let scheduler = schedule.map_or(sampler.to_owned(), |schedule| format!("{sampler} {schedule}"));
        let defaults = Defaults {
            width: defaults.width,
            height: defaults.height,
            steps: defaults.steps,
            guidance_scale: defaults.guidance_scale,
            scheduler,
        };
        serde_wasm_bindgen::to_value(&defaults).map_err(Into::into)
    }

    /// The names of the schedulers that can sample this model.
    pub fn schedulers(&self) -> Vec<String> {
        let own = self.pipeline.scheduler();
        let mut names = Scheduler::names();
        names.retain(|name| name.parse::<Scheduler>().and_then(|chosen| chosen.apply(own)).is_ok());
        names
    }

    /// The backend: wasm or webgpu.
    pub fn backend(&self) -> String {
        self.backend.name().to_owned()
    }

    /// Bytes of graphics memory in use.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> f64 {
        gpu_bytes(&self.device)
    }
}
