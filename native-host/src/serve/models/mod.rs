//! The models of a service: which ones requests may name, what is known of each, and those in memory.
//!
//! Nothing but the configurations is read when the service starts. A model is loaded for the first task that names it, and
//! stays until it has been idle for some time (`--unload-after`) or its memory is needed for another one ([`policy`]). A
//! model that cannot be loaded fails the task that wanted it, and is tried again for the next one. Which task is taken first
//! when several wait, `easel_jobs` says.

pub(super) mod folder;
mod known;
mod manager;
mod policy;
mod seeing;

pub(super) use manager::Lease;
pub(super) use seeing::Seeing;

use super::metrics::ModelMetrics;
use super::target::Target;
use super::{Config, error};
use crate::model::{self, LoadOptions, LoadedModel};
use crate::names::{self, Place};
use easel_contract::service::Model;
use easel_inference::Device;
use easel_inference::pipeline::{CancelToken, Description, Keeping, Needs, Request, Watcher};
use easel_inference::tensor::{DeviceKind, GpuOptions};
use known::Known;
use manager::{Manager, Refusal};
use parking_lot::Mutex;
use policy::{Bounds, Wanted};
use pollster::block_on;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::Arc;

/// The width and height of the stub model's pictures, which has no configuration.
pub(super) const STUB_SIZE: u32 = 512;

/// The most entries of [`Models::needs`].
const NEEDS_MAX: usize = 256;

/// The models that requests may name, and no others, since requests must not name files.
pub struct Models {
    known: Vec<Known>,
    /// What each takes on the processor, once it was asked for.
    needs: Mutex<BTreeMap<Asked, Needs>>,
    loaded: Manager<LoadedModel>,
    /// The most that stay loaded, if the configuration says so.
    most: Option<usize>,
    /// How their components are held, if the configuration says so.
    keeping: Option<Keeping>,
}

/// What the memory for a request depends on.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    model: String,
    width: Option<usize>,
    height: Option<usize>,
    /// Whether a guidance scale was asked for that doubles the denoiser's work; `None` means the model's own scale.
    guided: Option<bool>,
}

/// What a task wants of a model.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    /// The model's name, as [`Models::name`] says it.
    pub(super) model: &'a str,
    /// Where it shall compute.
    pub(super) device: Target,
    /// Its drawings, in the pipeline's terms, without prompts and pictures.
    pub(super) drawings: &'a [Request],
}

impl Models {
    /// The models of this configuration; the first one is the default.
    pub(super) fn new(config: &Config, metrics: ModelMetrics) -> error::Result<Self> {
        let known = Known::all(config)?;
        let loaded = Manager::new(config.unload_after.duration(), metrics);
        let loaded = loaded.map_err(|reason| easel_jobs::Error::Thread { reason })?;
        Ok(Self { known, needs: Mutex::default(), loaded, most: config.loaded_models, keeping: config.keeping })
    }

    /// The name of a model, or of the default one if `asked` is `None`; `None` if it is unknown.
    pub fn name(&self, asked: Option<&str>) -> Option<&str> {
        let Some(asked) = asked else { return self.known.first().map(|known| known.name.as_str()) };
        let exact = self.known.iter().find(|known| known.name == asked);
        let found = exact.or_else(|| self.known.iter().find(|known| known.public == asked))?;
        Some(&found.name)
    }

    fn known(&self, name: &str) -> Result<&Known, model::Error> {
        self.known.iter().find(|known| known.name == name).ok_or(model::Error::NoFiles)
    }

    /// What clients call a model.
    pub fn public<'a>(&'a self, name: &'a str) -> &'a str {
        self.known(name).map_or(name, |known| known.public.as_str())
    }

    /// Every model by the name that clients may call it, with what is known of it.
    pub fn list(&self) -> Vec<Model> {
        let loaded = self.loaded.loaded();
        let mut models: Vec<Model> = Vec::new();
        for known in &self.known {
            // Two paths may end alike; the first one has the name.
            if models.iter().all(|model| model.name != known.public) {
                let is_loaded = loaded.iter().any(|(name, _)| *name == known.name);
                models.push(self.entry(known, is_loaded));
            }
        }
        models
    }

    fn entry(&self, known: &Known, is_loaded: bool) -> Model {
        let name = known.public.clone();
        if known.place == Place::Stub {
            let size = Some(STUB_SIZE);
            let size_step = Some(1);
            return Model { name, width: size, height: size, loaded: true, size_step, ..Model::default() };
        }
        let module = model::module(&known.place);
        let Ok(Some(description)) = known.description() else { return Model { name, module, ..Model::default() } };
        let usual = description.defaults();
        let needs = self.needs(&known.name, &Request::new("", None, 0, 1)).ok().flatten();
        let number = |number: usize| u32::try_from(number).ok();
        Model {
            name,
            width: number(usual.width),
            height: number(usual.height),
            steps: number(usual.steps),
            bytes: needs.as_ref().map(Needs::disk),
            memory: needs.as_ref().map(|needs| needs.peak(self.keeping.unwrap_or(Keeping::All))),
            loaded: is_loaded,
            size_step: number(description.size_step()),
            module,
        }
    }

    /// What an error says, for clients: without the folders of this machine in which models lie.
    pub fn without_folders(&self, text: &str) -> String {
        let components = self.known.iter().flat_map(|known| &known.components);
        let components = components.filter_map(|component| component.path.parent().map(Path::to_owned));
        let mut folders: Vec<PathBuf> = self.known.iter().filter_map(|known| known.place.folder()).collect();
        folders.extend(components);
        without(text, folders)
    }

    /// The description of a model, without loading it; `None` for the stub. Read once, and then kept.
    pub fn description(&self, name: &str) -> Result<Option<Arc<Description>>, model::Error> {
        self.known(name)?.description()
    }

    /// What a model takes on the processor for one picture; `None` for the stub. Planned once for each size.
    pub fn needs(&self, name: &str, request: &Request) -> Result<Option<Needs>, model::Error> {
        let guided = request.guidance_scale.map(|scale| scale > 1.0);
        let key = Asked { model: name.to_owned(), width: request.width, height: request.height, guided };
        if let Some(needs) = self.needs.lock().get(&key) {
            return Ok(Some(needs.clone()));
        }
        let known = self.known(name)?;
        let request = Some(request.clone());
        let components = known.components.clone();
        let needs = model::needs(&known.place, &LoadOptions { request, components, ..LoadOptions::new(Device::Cpu) })?;
        if let Some(needs) = &needs {
            let mut kept = self.needs.lock();
            if kept.len() >= NEEDS_MAX {
                kept.clear();
            }
            kept.insert(key, needs.clone());
        }
        Ok(needs)
    }

    /// The ways in which models may be held, the fastest first.
    pub fn ways(&self) -> &'static [Keeping] {
        Keeping::ways(self.keeping)
    }

    /// The memory for models on the processor if all that are loaded leave; `None` if nobody knows.
    pub fn memory(&self) -> Option<u64> {
        model::available_after(self.loaded.weights())
    }

    /// The models whose tasks need not wait for one to be loaded.
    pub(super) fn ready(&self, device: Target) -> Vec<String> {
        let loaded = self.loaded.loaded().into_iter().filter(|(_, own)| *own == device).map(|(name, _)| name);
        loaded.chain([names::STUB.to_owned()]).collect()
    }

    /// The model that a task wants, loaded if needed, for as long as the lease is held. Waits until there is memory for the
    /// task, and is cancelled meanwhile if `should_stop` says so.
    pub(super) fn get(
        &self,
        task: &Task<'_>,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Lease<LoadedModel>, model::Error> {
        let known = self.known(task.model)?;
        if known.place == Place::Stub {
            return Ok(Lease::of(LoadedModel::stub()));
        }
        let needs = self.needs_of(task);
        let wanted = Wanted { model: task.model, device: task.device, needs: &needs, ways: self.ways() };
        let bounds = |weights| self.bounds(task.device, weights);
        let lease = self.loaded.lease(&wanted, bounds, should_stop, |keeping| {
            if keeping != Keeping::All && self.keeping.is_none() {
                watcher.warning("there is no memory for all of the model: one component is loaded at a time");
            }
            let mut options = LoadOptions::new(open(task.device)?);
            options.components.clone_from(&known.components);
            options.keeping = Some(keeping);
            options.is_planned = true;
            LoadedModel::load(&known.public, &known.place, &options, watcher, cancel)
        });
        lease.map_err(|refusal| match refusal {
            Refusal::Stopped => easel_inference::Error::Cancelled.into(),
            Refusal::NoRoom(memory) => no_room(&needs, memory, self.ways()).into(),
            Refusal::Failed(error) => error,
        })
    }

    /// What each drawing of a task takes; empty if it is not known, or counts for nothing.
    fn needs_of(&self, task: &Task<'_>) -> Vec<Needs> {
        if task.device.kind != DeviceKind::Cpu {
            return Vec::new();
        }
        // What cannot be planned cannot be loaded either, which says why.
        let needs = task.drawings.iter().map(|drawing| self.needs(task.model, drawing).ok().flatten());
        needs.collect::<Option<_>>().unwrap_or_default()
    }

    /// How much may be held on a device: as much as there is memory, or one model where that is not known.
    fn bounds(&self, device: Target, weights: u64) -> Bounds {
        let memory = model::available_after(weights).filter(|_| device.kind == DeviceKind::Cpu);
        let models = self.most.unwrap_or(if memory.is_some() { usize::MAX } else { 1 });
        Bounds { memory, models }
    }
}

/// A text without these folders.
fn without(text: &str, mut folders: Vec<PathBuf>) -> String {
    // The longest first: one may lie in another.
    folders.sort_by_key(|folder| Reverse(folder.as_os_str().len()));
    folders.iter().fold(text.to_owned(), |text, folder| {
        let folder = folder.to_string_lossy();
        match &*folder {
            "" | "/" => text,
            folder => text.replace(&format!("{folder}{MAIN_SEPARATOR}"), ""),
        }
    })
}

/// Opens a task's device.
fn open(device: Target) -> easel_inference::Result<Device> {
    let mut options = model::gpu_options(None);
    if let Some(gpu) = device.gpu {
        options = GpuOptions { adapter: gpu.to_string(), ..options };
    }
    Ok(block_on(Device::select(device.kind, &options))?.device)
}

/// The error about a drawing that does not fit this much memory.
fn no_room(needs: &[Needs], memory: u64, ways: &[Keeping]) -> easel_inference::Error {
    let refused = needs.iter().find_map(|needs| needs.choose(memory, ways).err());
    let unknown =
        easel_inference::Error::InsufficientMemory { needed: memory, available: memory, advice: String::new() };
    refused.unwrap_or(unknown)
}

#[cfg(test)]
mod tests;
