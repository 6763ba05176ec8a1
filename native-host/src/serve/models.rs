//! The models that requests may name, and the loaded ones.

use crate::model::{self, ComponentPath, LoadOptions, LoadedModel};
use crate::names::{self, Place};
use easel_contract::service::Model;
use easel_inference::Device;
use easel_inference::pipeline::{CancelToken, Description, Needs, Request, Watcher};
use easel_inference::tensor::DeviceKind;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::Arc;

/// The width and height of the stub model's pictures, which has no configuration.
pub(super) const STUB_SIZE: u32 = 512;

/// The models that requests may name, and no others, since requests must not name files.
pub struct Models {
    known: Vec<(String, Place)>,
    /// What clients may call each besides: a path says too much about the machine.
    public: Vec<String>,
    /// Components from separate files, by the model's name.
    components: BTreeMap<String, Vec<ComponentPath>>,
    /// The description of each, in the same order, once it has been read.
    described: Mutex<Vec<Option<Arc<Description>>>>,
    /// What each takes on the processor, once it was asked for.
    needs: Mutex<BTreeMap<Asked, Needs>>,
    /// The most recently used one last.
    loaded: Mutex<Vec<Loaded>>,
    most: usize,
}

/// The most entries of [`Models::needs`].
const NEEDS_MAX: usize = 256;

/// What the memory for a request depends on.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    model: String,
    width: Option<usize>,
    height: Option<usize>,
    /// Whether a guidance scale was asked for that doubles the denoiser's work; `None` means the model's own scale.
    guided: Option<bool>,
}

struct Loaded {
    name: String,
    device: DeviceKind,
    model: Arc<LoadedModel>,
}

impl Models {
    /// These models and the built-in ones; the first is the default. At most `most` stay loaded.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a String>, most: usize) -> Result<Self, names::NameError> {
        let configured = names.into_iter().map(|name| Ok((name.clone(), names::resolve(name)?)));
        let mut known = configured.collect::<Result<Vec<_>, _>>()?;
        for (name, place) in [(crate::embedded::NAME, Place::Embedded), (names::STUB, Place::Stub)] {
            if !known.iter().any(|(known, _)| known == name) {
                known.push((name.into(), place));
            }
        }
        let described = Mutex::new(vec![None; known.len()]);
        let needs = Mutex::default();
        let public = known.iter().map(|(name, place)| model::public_name(name, place)).collect();
        let components = BTreeMap::new();
        Ok(Self { known, public, components, described, needs, loaded: Mutex::default(), most })
    }

    /// The same models, some with components from separate files.
    pub fn with_components(self, components: BTreeMap<String, Vec<ComponentPath>>) -> Self {
        Self { components, ..self }
    }

    /// The name of a model, or of the default one if `asked` is `None`; `None` if it is unknown.
    pub fn name(&self, asked: Option<&str>) -> Option<&str> {
        let Some(asked) = asked else { return self.known.first().map(|(name, _)| name.as_str()) };
        let exact = self.known.iter().position(|(name, _)| name == asked);
        let found = exact.or_else(|| self.public.iter().position(|name| name == asked))?;
        Some(&self.known[found].0)
    }

    /// Every model by the name that clients may call it, with what is known of it.
    pub fn list(&self) -> Vec<Model> {
        let described = self.known.iter().zip(&self.public).map(|((name, place), public)| {
            let size = |size: usize| u32::try_from(size).ok();
            let known = self.description(name).ok().flatten();
            match (place, known.as_ref().map(|known| known.defaults())) {
                (Place::Stub, _) => (public, Some(STUB_SIZE), Some(STUB_SIZE), None),
                (_, Some(usual)) => (public, size(usual.width), size(usual.height), size(usual.steps)),
                (_, None) => (public, None, None, None),
            }
        });
        let mut models: Vec<Model> = Vec::new();
        for (name, width, height, steps) in described {
            // Two paths may end alike; the first one has the name.
            if models.iter().all(|model| model.name != *name) {
                models.push(Model { name: name.clone(), width, height, steps });
            }
        }
        models
    }

    /// What an error says, for clients: without the folders of this machine in which models lie.
    pub fn without_folders(&self, text: &str) -> String {
        let components = self.components.values().flatten();
        let components = components.filter_map(|component| component.path.parent().map(Path::to_owned));
        let mut folders: Vec<PathBuf> = self.known.iter().filter_map(|(_, place)| place.folder()).collect();
        folders.extend(components);
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

    /// The description of a model, without loading it; `None` for the stub. Read once, and then kept.
    pub fn description(&self, name: &str) -> Result<Option<Arc<Description>>, model::Error> {
        let found = self.known.iter().position(|(known, _)| known == name).ok_or(model::Error::NoFiles)?;
        if let Some(description) = &self.described.lock()[found] {
            return Ok(Some(Arc::clone(description)));
        }
        // Two requests may read it at the same time; that is cheaper than making all others wait for a slow disk.
        let components = self.components.get(name).map(Vec::as_slice).unwrap_or_default();
        let description = model::describe(&self.known[found].1, None, components)?.map(Arc::new);
        self.described.lock()[found].clone_from(&description);
        Ok(description)
    }

    /// Whether any models are loaded.
    pub fn are_loaded(&self) -> bool {
        // Locked while one is being loaded.
        self.loaded.try_lock().is_none_or(|loaded| !loaded.is_empty())
    }

    /// What a model takes on the processor for one picture; `None` for the stub. Planned once for each size.
    pub fn needs(&self, name: &str, request: &Request) -> Result<Option<Needs>, model::Error> {
        let guided = request.guidance_scale.map(|scale| scale > 1.0);
        let key = Asked { model: name.to_owned(), width: request.width, height: request.height, guided };
        if let Some(needs) = self.needs.lock().get(&key) {
            return Ok(Some(needs.clone()));
        }
        let (_, place) = self.known.iter().find(|(known, _)| known == name).ok_or(model::Error::NoFiles)?;
        let request = Some(request.clone());
        let components = self.components.get(name).cloned().unwrap_or_default();
        let needs = model::needs(place, &LoadOptions { request, components, ..LoadOptions::new(Device::Cpu) })?;
        if let Some(needs) = &needs {
            let mut kept = self.needs.lock();
            if kept.len() >= NEEDS_MAX {
                kept.clear();
            }
            kept.insert(key, needs.clone());
        }
        Ok(needs)
    }

    /// A model, loaded onto the device if needed, and held so that there is memory for the request. Only one model loads at a
    /// time: two at once would be ready no sooner and need twice the memory.
    pub fn get(
        &self,
        name: &str,
        device: DeviceKind,
        request: &Request,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Arc<LoadedModel>, model::Error> {
        let (name, place) = self.known.iter().find(|(known, _)| known == name).ok_or(model::Error::NoFiles)?;
        if *place == Place::Stub {
            return Ok(Arc::new(LoadedModel::stub()));
        }
        let mut loaded = self.loaded.lock();
        if let Some(found) = loaded.iter().position(|model| model.name == *name && model.device == device) {
            let model = loaded.remove(found);
            let found = Arc::clone(&model.model);
            loaded.push(model);
            return Ok(found);
        }
        // Models are dropped first, so that there are never more in memory than allowed.
        loaded.retain(|model| model.device == device);
        let surplus = (loaded.len() + 1).saturating_sub(self.most).min(loaded.len());
        loaded.drain(..surplus);
        let mut options = LoadOptions::new(model::select_device(device, None)?.device);
        options.components = self.components.get(name).cloned().unwrap_or_default();
        options.request = Some(request.clone());
        let model = Arc::new(LoadedModel::load(name, place, &options, watcher, cancel)?);
        loaded.push(Loaded { name: name.clone(), device, model: Arc::clone(&model) });
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use easel_inference::pipeline::Unwatched;

    #[test]
    fn requests_may_name_configured_and_built_in_models() {
        let models = Models::new(&["stub".to_owned()], 1).unwrap();
        assert_eq!(models.name(None), Some("stub"));
        assert_eq!(models.name(Some("easel-emoji")), Some("easel-emoji"));
        assert_eq!(models.name(Some("sd-turbo")), None);
        assert_eq!(models.name(Some("/etc")), None);
        assert_eq!(models.name(Some(".")), None);
        assert!(Models::new(&["no-such-model".to_owned()], 1).is_err());
    }

    #[test]
    fn models_are_listed_by_names_that_show_no_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji").to_owned();
        let models = Models::new(&["stub".to_owned(), folder], 1).unwrap();
        let listed = models.list();
        let names: Vec<&str> = listed.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["stub", "easel-emoji"]);
        assert_eq!((listed[0].width, listed[0].steps), (Some(512), None));
        assert_eq!(listed[1].width, Some(128));
        assert!(listed[1].steps.is_some());
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("mine").display().to_string();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Models::new([&path], 1).unwrap().name(Some("mine")), Some(path.as_str()));
    }

    #[test]
    fn f18_clients_do_not_hear_where_models_lie() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir_all(path("models/mine")).unwrap();
        std::fs::write(path("models/mine/model_index.json"), "{").unwrap();
        let name = path("models/mine");
        let component = ComponentPath { name: "vae".into(), path: path("parts/vae.safetensors").into() };
        let models = Models::new([&name], 1).unwrap();
        let models = models.with_components([(name.clone(), vec![component])].into());
        let request = Request::new("a cat", None, 1, 1);
        let get = models.get(&name, DeviceKind::Cpu, &request, &mut Unwatched, &CancelToken::default());
        let error = get.map(drop).unwrap_err().to_string();
        assert!(error.contains(&path("")), "{error}");
        let said = models.without_folders(&error);
        assert!(!said.contains(&path("")), "{said}");
        assert!(said.contains("vae.safetensors"), "{said}");

        let models = Models::new([&name], 1).unwrap();
        let request = Request::new("a cat", None, 1, 1);
        let get = models.get(&name, DeviceKind::Cpu, &request, &mut Unwatched, &CancelToken::default());
        let said = models.without_folders(&get.map(drop).unwrap_err().to_string());
        assert!(said.contains("model_index.json") && !said.contains(&path("")), "{said}");
    }

    #[test]
    fn a_model_is_loaded_once_and_the_least_recently_used_one_is_dropped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji").to_owned();
        let models = Models::new([&folder], 1).unwrap();
        let request = Request::new("a cat", None, 1, 1);
        let get = |name| models.get(name, DeviceKind::Cpu, &request, &mut Unwatched, &CancelToken::default()).unwrap();
        let first = get("easel-emoji");
        get("stub");
        assert!(Arc::ptr_eq(&first, &get("easel-emoji")));
        get(&folder);
        assert_eq!(Arc::strong_count(&first), 1, "it made room");
        assert!(!Arc::ptr_eq(&first, &get("easel-emoji")));
    }
}
