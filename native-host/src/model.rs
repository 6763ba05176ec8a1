//! Models as the command uses them: found by name, loaded, run. The stub model is one too.

use crate::args::Vae;
use crate::pending::*;
use anyhow::{Result, bail};
use easel_host::embedded;
use easel_host::names::{self, Place};
use easel_inference::DType;
use easel_inference::pipeline::Parameters;
use easel_inference::pipeline::{CancelToken, Image, Phase, Progress, Prompt, Request, Watcher};
use easel_inference::tensor::DeviceKind;

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

/// Something that makes pictures.
pub(crate) enum Engine {
    /// Makes blue ones.
    Stub,
}

impl Engine {
    /// Loads a model from where it is.
    pub(crate) fn load(
        place: &Place,
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        match place {
            Place::Stub => Ok(Self::Stub),
            _ => bail!("models cannot be loaded yet"),
        }
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
