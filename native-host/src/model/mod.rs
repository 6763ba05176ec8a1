//! Models as the command uses them: found by name, looked into, loaded, run. The stub model is one too.

mod contents;
mod hub;
mod stub;

pub(crate) use contents::{Component, Contents, TensorInfo, contents};
pub(crate) use hub::{Download, is_cached, pull};

use crate::args::Vae;
use anyhow::{Context, Result, ensure};
use easel_host::embedded;
use easel_host::names::Place;
use easel_inference::pipeline::{self, CancelToken, Picture, Pipeline, Request, Watcher};
use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::weights::{self, ComponentFiles, Directory, MemoryFiles, ModelFiles, OpenOptions};
use easel_inference::{DType, Device};
use pollster::block_on;

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

/// Opens a device. On a GPU models compute in the type that weights are asked for in; `EASEL_GPU` names the adapter.
pub(crate) fn open_device(kind: DeviceKind, dtype: Option<DType>) -> Result<Device> {
    let adapter = std::env::var("EASEL_GPU").unwrap_or_default();
    let float = dtype.filter(|dtype| *dtype != DType::Bf16);
    Ok(block_on(Device::open(kind, &GpuOptions { adapter, float, ..GpuOptions::default() }))?)
}

/// Something that makes pictures.
pub(crate) enum Engine {
    /// Makes blue ones.
    Stub,
    /// A model on its device.
    Pipeline(Box<Pipeline>),
}

impl Engine {
    /// Loads the model that is called `name` from where it is.
    pub(crate) fn load(
        (name, place): (&str, &Place),
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        if *place == Place::Stub {
            return Ok(Self::Stub);
        }
        let mut files = open(place, options.variant.as_deref())?;
        if options.vae == Some(Vae::Tiny) {
            use_tiny_autoencoder(&mut files, options.variant.as_deref())?;
        }
        let load = pipeline::LoadOptions {
            dtype: options.dtype,
            name: public_name(name, place),
            usual: (*place == Place::Embedded).then_some(embedded::USUAL),
            ..pipeline::LoadOptions::new(open_device(options.device, options.dtype)?)
        };
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
            Self::Stub => stub::generate(request, watcher, cancel),
            Self::Pipeline(pipeline) => Ok(block_on(pipeline.generate(request, watcher, cancel))?),
        }
    }
}

/// The model that is used when none is named: the environment's, else the embedded one.
pub(crate) fn default_name() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("EASEL_MODEL").or_else(|| set("MODEL")).unwrap_or_else(|| embedded::NAME.into())
}

/// What a picture's metadata calls its model: a path says too much about the machine, its last part will do.
fn public_name(name: &str, place: &Place) -> String {
    let Place::Path(path) = place else { return name.to_owned() };
    let path = path.canonicalize().unwrap_or_else(|_| path.clone());
    let last = if path.is_dir() { path.file_name() } else { path.file_stem() };
    last.map_or(name.to_owned(), |last| last.to_string_lossy().into_owned())
}

/// The files of a model that is on this machine.
fn open(place: &Place, variant: Option<&str>) -> Result<ModelFiles> {
    let options = OpenOptions { variant: variant.map(str::to_owned), ..OpenOptions::default() };
    let files = match place {
        Place::Stub => anyhow::bail!("the stub model has no files"),
        Place::Embedded => {
            block_on(ModelFiles::open(&MemoryFiles::from_static(embedded::NAME, embedded::FILES), &options))
        }
        Place::Hub(repository) => {
            let folder = hub::cached(repository)?;
            let opened = block_on(ModelFiles::open_path(&folder, &options));
            return opened
                .with_context(|| format!("{repository} in the cache (`easel pull {repository}` completes it)"));
        }
        Place::Path(path) => block_on(ModelFiles::open_path(path, &options)),
    };
    Ok(files?)
}

/// Puts TAESD in the place of a model's own autoencoder, unless that is a tiny one already.
fn use_tiny_autoencoder(files: &mut ModelFiles, variant: Option<&str>) -> Result<()> {
    let own = files.component(weights::Component::Vae)?;
    if own.config["_class_name"] == "AutoencoderTiny" {
        return Ok(());
    }
    let channels = own.config["latent_channels"].as_u64().unwrap_or(4);
    ensure!(channels == 4, "vae: there is no tiny autoencoder for latents of {channels} channels");
    let is_xl = files.get(weights::Component::TextEncoder2).is_some();
    let folder = hub::cached(if is_xl { hub::TAESD_XL } else { hub::TAESD })?;
    let tiny = block_on(ComponentFiles::open(&Directory::new(folder), "", variant))?;
    files.replace(weights::Component::Vae, tiny);
    Ok(())
}
