//! `Model`: a pipeline in wasm memory, and the pictures that it draws.

use crate::backend::Backend;
use crate::error::to_js;
use crate::events::{Cancel, Events};
use crate::files::files;
use crate::options::GenerateOptions;
use easel_inference::families::{ModelFiles, OpenOptions, SamplingDefaults};
use easel_inference::pipeline::{LoadOptions, Pipeline};
use easel_inference::sampling::Scheduler;
use easel_inference::{Device, Error, Result};
use easel_picture::{EncodeOptions, ImageFormat};
use js_sys::Array;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

/// How a model is loaded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Load {
    /// As the metadata of its pictures keeps it.
    name: String,
    /// wasm or webgpu.
    backend: String,
    /// What suits the model, if its files don't say.
    steps: Option<usize>,
    guidance_scale: Option<f64>,
}

/// What is drawn by default.
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
    /// The PNG file, which carries the settings.
    #[wasm_bindgen(getter)]
    pub fn png(&self) -> Vec<u8> {
        self.png.clone()
    }

    /// The settings as AUTOMATIC1111 writes them.
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
        let token = cancel.0.clone();
        let loaded = async {
            let backend = Backend::parse(&options.backend)?;
            let device = backend.open().await?;
            let files = ModelFiles::open(&files(&options.name, &pairs)?, &OpenOptions::default()).await?;
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
            let mut pictures = self.pipeline.generate(&request, &mut events, &cancel.0).await?;
            let picture = pictures.pop().ok_or_else(|| Error::invalid("count", "no picture was drawn"))?;
            let parameters = picture.parameters.to_string();
            let encode = EncodeOptions { parameters: Some(&parameters), ..EncodeOptions::default() };
            let png = picture.image.encode(ImageFormat::Png, &encode)?;
            // Sides are at most `SIZE_MAX`.
            Ok(Drawn { width: picture.image.width as u32, height: picture.image.height as u32, png, parameters })
        };
        drawn.await.map_err(to_js)
    }

    /// Size, steps, guidance scale and scheduler that are used when none are given.
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

    /// What computes: wasm or webgpu.
    pub fn backend(&self) -> String {
        self.backend.name().to_owned()
    }

    /// Bytes of graphics memory that are taken.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> f64 {
        match &self.device {
            #[cfg(feature = "webgpu")]
            Device::Gpu(gpu) => gpu.context().stats().memory.allocated as f64,
            _ => 0.0,
        }
    }
}

/// The options of a call. [`Error::Invalid`] names the one that is wrong.
fn read<T: DeserializeOwned>(options: JsValue) -> Result<T> {
    serde_path_to_error::deserialize(serde_wasm_bindgen::Deserializer::from(options)).map_err(|error| {
        let reason = error.inner().to_string();
        let reason = reason.strip_prefix("Error: ").unwrap_or(&reason);
        match error.path().to_string().as_str() {
            "." => Error::invalid("options", reason),
            field => Error::invalid("options", format!("{field}: {reason}")),
        }
    })
}
