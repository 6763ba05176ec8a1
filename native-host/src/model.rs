//! Models as the command uses them: found by name, loaded, run. The stub model is one too.

use crate::args::{PullArgs, Vae};
use anyhow::{Result, bail};
use easel_host::embedded;
use easel_host::names::{self, Place};
use easel_inference::pipeline::{
    self, CancelToken, Image, Parameters, Phase, Picture, Pipeline, Progress, Prompt, Request, Watcher,
};
use easel_inference::tensor::DeviceKind;
use easel_inference::weights::ModelFiles;
use easel_inference::{DType, Device};
use pollster::block_on;
use serde_json::Value;
use std::path::PathBuf;

/// The size of the stub model's pictures.
const STUB_SIZE: usize = 512;

/// How a model is loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadOptions {
    pub(crate) device: DeviceKind,
    /// The type of the weights; `None` keeps them as they are stored.
    pub(crate) dtype: Option<DType>,
    /// The variant of the weight files that is preferred.
    pub(crate) variant: Option<String>,
    pub(crate) vae: Option<Vae>,
}

/// What is inside a model.
pub(crate) struct Contents {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) components: Vec<Component>,
    pub(crate) scheduler: Value,
}

/// One network of a model.
pub(crate) struct Component {
    pub(crate) name: String,
    /// As diffusers would have written it; detected where the file has none.
    pub(crate) config: Value,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// One tensor of a file.
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: u64,
}

impl Component {
    /// The class that diffusers or transformers would build.
    pub(crate) fn class(&self) -> &str {
        let class = self.config["_class_name"].as_str().or_else(|| self.config["architectures"][0].as_str());
        class.unwrap_or("-")
    }

    /// The number of elements of all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
    }

    /// The size of all tensors as they are stored.
    pub(crate) fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }
}

/// Looks into a model without loading it.
pub(crate) fn contents(place: &Place, _variant: Option<&str>) -> Result<Contents> {
    bail!("models cannot be read yet: {place:?}")
}

/// How far the download of one file is, in bytes.
pub(crate) struct Download<'a> {
    pub(crate) file: &'a str,
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// Downloads a repository; the folder that it is in.
pub(crate) fn pull(
    repository: &str,
    _args: &PullArgs,
    _watch: &mut dyn FnMut(Download<'_>),
    _cancel: &CancelToken,
) -> Result<PathBuf> {
    bail!("{repository}: nothing can be downloaded yet")
}

/// Something that makes pictures.
pub(crate) enum Engine {
    /// Makes blue ones.
    Stub,
    /// A model on its device.
    Pipeline(Box<Pipeline>),
}

impl Engine {
    /// Loads a model from where it is; `name` is what its pictures' metadata calls it.
    pub(crate) fn load(
        (name, place): (&str, &Place),
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        if *place == Place::Stub {
            return Ok(Self::Stub);
        }
        let files = block_on(ModelFiles::open_dir(
            std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji")),
            None,
        ))?;
        let mut load = pipeline::LoadOptions::new(Device::open(options.device)?);
        load.dtype = options.dtype;
        load.name = name.to_owned();
        load.usual = (*place == Place::Embedded).then_some(embedded::USUAL);
        Ok(Self::Pipeline(Box::new(block_on(Pipeline::load(&files, &load, watcher, cancel))?)))
    }

    /// Makes the pictures of a request.
    pub(crate) fn generate(
        &self,
        request: &Request,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Vec<Picture>> {
        match self {
            Self::Stub => stub(request, watcher, cancel),
            Self::Pipeline(pipeline) => Ok(block_on(pipeline.generate(request, watcher, cancel))?),
        }
    }
}

/// The stub model's pictures, with metadata as any other.
fn stub(request: &Request, watcher: &mut dyn Watcher, cancel: &CancelToken) -> Result<Vec<Picture>> {
    request.validate()?;
    let size = (request.width.unwrap_or(STUB_SIZE), request.height.unwrap_or(STUB_SIZE));
    let draw = |prompt: &Prompt| {
        let parameters = Parameters {
            prompt: prompt.text.clone(),
            negative_prompt: prompt.negative.clone(),
            seed: Some(prompt.seed),
            size: Some(size),
            model: Some(names::STUB.into()),
            version: Some(Parameters::VERSION.into()),
            ..Parameters::default()
        };
        Ok(Picture { image: Image::stub(size.0, size.1)?, parameters, seed: prompt.seed })
    };
    cancel.check()?;
    let pictures = request.prompts.iter().map(draw).collect::<Result<Vec<_>>>()?;
    let (of, seconds) = (pictures.len(), watcher.clock());
    watcher.progress(&Progress { phase: Phase::Decode, step: of, of, seconds, preview: None });
    Ok(pictures)
}

/// The model that is used when none is named: the environment's, else the embedded one.
pub(crate) fn default_name() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("EASEL_MODEL").or_else(|| set("MODEL")).unwrap_or_else(|| embedded::NAME.into())
}

/// Whether the files of a hub repository are in the cache.
pub(crate) fn is_cached(_repository: &str) -> bool {
    false
}
