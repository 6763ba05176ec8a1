//! Finding, loading and running models by name, including the stub model.

pub mod analysis;
mod caikit;
mod fit;
mod hub;
mod seers;
mod stub;

pub use caikit::module;
pub use fit::{available, available_after};
pub use hub::is_cached;
pub use seers::{Cutter, Cutting, Receiver, Scorer, Whole};

use crate::embedded;
use crate::names::{NameError, Place};
use easel_inference::families::{ComponentSource, Defaults, ModelFiles, OpenOptions, SamplingDefaults, VAE};
use easel_inference::pipeline::{self, CancelToken, Description, Keeping, Needs, Picture, Pipeline, Request, Watcher};
use easel_inference::tensor::{DeviceKind, GpuOptions, Selection};
use easel_inference::weights::{ComponentFiles, Directory, MemoryFiles};
use easel_inference::{DType, Device};
use pollster::block_on;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why loading or drawing failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stub model has no files to inspect.
    #[error("the stub model has no files")]
    NoFiles,
    /// There is no model of this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The model is on the hub, but not on this machine.
    #[error("{repository} is not downloaded yet: run `easel pull {name}` first")]
    NotDownloaded {
        /// Its repository.
        repository: String,
        /// The name to pull.
        name: String,
    },
    /// The model's folder in the hub's cache cannot be opened, usually because files are missing.
    #[error("{repository} in the cache (`easel pull {repository}` completes it): {reason}")]
    Cached {
        /// Its repository.
        repository: String,
        /// What is wrong.
        reason: easel_inference::Error,
    },
    /// The model draws, and was named for looking at pictures.
    #[error("this model draws pictures: expected a {kind}, for example one of `easel models`")]
    Draws {
        /// The kind of model that was expected.
        kind: &'static str,
    },
    /// A folder's `config.yml` of Caikit cannot be read.
    #[error("{}: {reason}", path.display())]
    CaikitConfig {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// There is no tiny autoencoder for the model's latents.
    #[error("vae: there is no tiny autoencoder for latents of {channels} channels")]
    NoTinyAutoencoder {
        /// The channels of its latents.
        channels: u64,
    },
    /// Loading or drawing failed.
    #[error(transparent)]
    Inference(#[from] easel_inference::Error),
    /// The picture cannot be made.
    #[error(transparent)]
    Picture(#[from] easel_picture::Error),
}

/// A result with this module's error.
pub type Result<T> = std::result::Result<T, Error>;

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The device to compute on.
    pub device: Device,
    /// The type of the weights; `None` keeps the stored type.
    pub dtype: Option<DType>,
    /// The preferred variant of the weight files.
    pub variant: Option<String>,
    /// Components from separate files or folders.
    pub components: Vec<ComponentPath>,
    /// Use TAESD, which is small and fast, instead of the model's own autoencoder.
    pub tiny_vae: bool,
    /// How to keep components; `None` stands for the fastest way that fits.
    pub keeping: Option<Keeping>,
    /// The request that must fit into memory; `None` stands for a picture of the model's default size.
    pub request: Option<Request>,
    /// Whether it is known already that there is memory for the model as [`keeping`](Self::keeping) holds it.
    pub is_planned: bool,
}

impl LoadOptions {
    /// The default options on this device.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            dtype: None,
            variant: None,
            components: Vec::new(),
            tiny_vae: false,
            keeping: None,
            request: None,
            is_planned: false,
        }
    }
}

/// A component of a model and the file or folder to load it from; on the command line, `vae=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentPath {
    /// The name of the component.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
}

impl ComponentPath {
    /// The prefix of the picture settings that name separate components.
    pub const SETTING: &str = "Component ";

    /// The picture setting that says where the component came from.
    fn metadata(&self) -> (String, String) {
        (format!("{}{}", Self::SETTING, self.name), last_part(&self.path).unwrap_or_default())
    }
}

impl FromStr for ComponentPath {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("expected NAME=PATH, for example vae=./vae.safetensors".into()),
        }
    }
}

/// How a GPU is opened: models compute in the type requested for the weights; `EASEL_GPU` names the adapter.
pub fn gpu_options(dtype: Option<DType>) -> GpuOptions {
    let adapter = std::env::var("EASEL_GPU").unwrap_or_default();
    let float = dtype.filter(|dtype| matches!(dtype, DType::F32 | DType::F16));
    GpuOptions { adapter, float, ..GpuOptions::default() }
}

/// Opens a device and returns it with its name; see [`gpu_options`] and [`Device::select`].
pub fn select_device(kind: DeviceKind, dtype: Option<DType>) -> easel_inference::Result<Selection> {
    block_on(Device::select(kind, &gpu_options(dtype)))
}

/// A model that is ready to draw.
///
/// Behind a trait object: the types of a GPU are nested so deeply that a crate that sends one to a thread would have to
/// raise the compiler's recursion limit.
pub struct LoadedModel {
    model: Box<dyn Draw>,
    /// The separate components, as picture metadata names them.
    components: Vec<(String, String)>,
}

trait Draw: Send + Sync {
    fn generate(&self, request: &Request, watcher: &mut dyn Watcher, cancel: &CancelToken) -> Result<Vec<Picture>>;

    fn defaults(&self) -> Option<&Defaults>;
}

impl Draw for Pipeline {
    fn generate(&self, request: &Request, watcher: &mut dyn Watcher, cancel: &CancelToken) -> Result<Vec<Picture>> {
        Ok(block_on(self.generate(request, watcher, cancel))?)
    }

    fn defaults(&self) -> Option<&Defaults> {
        Some(self.defaults())
    }
}

impl LoadedModel {
    /// The stub model, which makes blue pictures.
    pub fn stub() -> Self {
        Self { model: Box::new(stub::Stub), components: Vec::new() }
    }

    /// Loads a model from its place; pictures call it `name`.
    pub fn load(
        name: &str,
        place: &Place,
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        if *place == Place::Stub {
            return Ok(Self::stub());
        }
        let files = model_files(place, options)?;
        let load = pipeline::LoadOptions {
            dtype: options.dtype,
            name: name.to_owned(),
            sampling: sampling(place),
            ..pipeline::LoadOptions::new(options.device.clone())
        };
        let keeping = fit::choose(&files, &load, options, watcher)?;
        let model = Box::new(block_on(Pipeline::load(&files, &load.keeping(keeping), watcher, cancel))?);
        let components = options.components.iter().map(ComponentPath::metadata).collect();
        Ok(Self { model, components })
    }

    /// Makes the pictures of a request. Their parameters name the separate components.
    pub fn generate(&self, request: &Request, watcher: &mut dyn Watcher, cancel: &CancelToken) -> Result<Vec<Picture>> {
        let mut pictures = self.model.generate(request, watcher, cancel)?;
        for picture in &mut pictures {
            picture.parameters.other.extend(self.components.iter().cloned());
        }
        Ok(pictures)
    }

    /// The defaults for a request that sets nothing else; `None` if the model has no preference.
    pub fn defaults(&self) -> Option<&Defaults> {
        self.model.defaults()
    }
}

/// The memory that a model needs for a request, before anything is loaded; `None` for the stub, which needs very
/// little.
pub fn needs(place: &Place, options: &LoadOptions) -> Result<Option<Needs>> {
    if *place == Place::Stub {
        return Ok(None);
    }
    let files = model_files(place, options)?;
    let load = pipeline::LoadOptions { dtype: options.dtype, ..pipeline::LoadOptions::new(options.device.clone()) };
    let request = fit::request(options);
    Ok(Some(Pipeline::new(&files, &load)?.needs(&request)?))
}

/// The files of a model, with the components that the options replace.
fn model_files(place: &Place, options: &LoadOptions) -> Result<ModelFiles> {
    let mut files = open(place, options.variant.as_deref(), &options.components)?;
    if options.tiny_vae {
        use_tiny_autoencoder(&mut files, options.variant.as_deref())?;
    }
    Ok(files)
}

/// The model's name for clients and in picture metadata: only the last part of a path, since the rest reveals too much about
/// the machine.
pub fn public_name(name: &str, place: &Place) -> String {
    let Place::Path(path) = place else { return name.to_owned() };
    last_part(path).unwrap_or_else(|| name.to_owned())
}

/// The name of a folder, or of a file without its extension.
fn last_part(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let last = if path.is_dir() { path.file_name() } else { path.file_stem() };
    last.map(|last| last.to_string_lossy().into_owned())
}

/// The files of a model that is on this machine.
pub fn open(place: &Place, variant: Option<&str>, components: &[ComponentPath]) -> Result<ModelFiles> {
    let mut options = OpenOptions { variant: variant.map(str::to_owned), ..OpenOptions::default() };
    for ComponentPath { name, path } in components {
        options.components.insert(name.clone(), ComponentSource::open_path(path)?);
    }
    let files = match place {
        Place::Stub => return Err(Error::NoFiles),
        Place::Embedded => {
            block_on(ModelFiles::open(&MemoryFiles::from_static(embedded::NAME, embedded::FILES), &options))
        }
        Place::Hub(repository) => {
            let folder = hub::cached(repository)?;
            let opened = block_on(ModelFiles::open_path(&folder, &options));
            return opened.map_err(|reason| Error::Cached { repository: repository.clone(), reason });
        }
        Place::Path(path) => block_on(ModelFiles::open_path(&caikit::pipeline(path)?, &options)),
    };
    Ok(files?)
}

/// The description of a model from its configuration; `None` for the stub, which accepts all requests.
pub fn describe(place: &Place, variant: Option<&str>, components: &[ComponentPath]) -> Result<Option<Description>> {
    if *place == Place::Stub {
        return Ok(None);
    }
    let files = open(place, variant, components)?;
    Ok(Some(Description::read(&files, sampling(place))?))
}

/// The steps and guidance scale that a model was trained for, if they differ from its family's.
fn sampling(place: &Place) -> Option<SamplingDefaults> {
    (*place == Place::Embedded).then_some(embedded::SAMPLING)
}

/// Replaces a model's own autoencoder with TAESD, unless it is a tiny one already.
fn use_tiny_autoencoder(files: &mut ModelFiles, variant: Option<&str>) -> Result<()> {
    let own = files.component(VAE)?;
    if own.config["_class_name"] == "AutoencoderTiny" {
        return Ok(());
    }
    let channels = latent_channels(own);
    let Some(repository) = files.family().tiny_autoencoder() else {
        return Err(Error::NoTinyAutoencoder { channels });
    };
    let folder = hub::cached(repository)?;
    let tiny = block_on(ComponentFiles::open(&Directory::new(folder), "", variant))?;
    if latent_channels(&tiny) != channels {
        return Err(Error::NoTinyAutoencoder { channels });
    }
    files.replace(VAE, tiny);
    Ok(())
}

/// The channels of an autoencoder's latents; 4 where its configuration does not say, as in diffusers.
fn latent_channels(autoencoder: &ComponentFiles) -> u64 {
    autoencoder.config["latent_channels"].as_u64().unwrap_or(4)
}
