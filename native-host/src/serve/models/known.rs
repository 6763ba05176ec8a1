//! The models that requests may name: those of the configuration, those of the folder, and the built-in ones.

use crate::model::{self, ComponentPath};
use crate::names::{self, Place};
use crate::serve::{Config, error};
use easel_inference::pipeline::Description;
use parking_lot::Mutex;
use std::sync::Arc;

/// A model that requests may name.
pub(super) struct Known {
    /// As the configuration names it.
    pub(super) name: String,
    /// What clients may call it besides: a path says too much about the machine.
    pub(super) public: String,
    /// Where it is.
    pub(super) place: Place,
    /// Its components from separate files.
    pub(super) components: Vec<ComponentPath>,
    /// What its configuration says, once that was read.
    described: Mutex<Option<Arc<Description>>>,
}

impl Known {
    fn new(name: &str, public: String, place: Place, config: &Config) -> Self {
        let components = config.components.get(name).cloned().unwrap_or_default();
        Self { name: name.to_owned(), public, place, components, described: Mutex::default() }
    }

    /// All models of a configuration, the default one first. No two have the same name.
    pub(super) fn all(config: &Config) -> error::Result<Vec<Self>> {
        let folder = config.folder_models()?;
        let mut all: Vec<Self> = Vec::new();
        for name in [&config.model].into_iter().chain(&config.models) {
            // The folder's own come first, whatever else a name may stand for.
            let found = folder.iter().find(|(own, _)| own == name);
            let known = match found {
                Some((_, path)) => Self::new(name, name.clone(), Place::Path(path.clone()), config),
                None => {
                    let place = names::resolve(name)?;
                    Self::new(name, model::public_name(name, &place), place, config)
                }
            };
            if !all.iter().any(|other| other.name == *name) {
                all.push(known);
            }
        }
        let built_in = [(crate::embedded::NAME, Place::Embedded), (names::STUB, Place::Stub)];
        let built_in = built_in.map(|(name, place)| (name.to_owned(), place));
        let folder = folder.into_iter().map(|(name, path)| (name, Place::Path(path)));
        for (name, place) in folder.chain(built_in) {
            if !all.iter().any(|other| other.name == name || other.public == name) {
                all.push(Self::new(&name, name.clone(), place, config));
            }
        }
        Ok(all)
    }

    /// What the configuration says, without loading the model; `None` for the stub. Read once, and then kept.
    pub(super) fn description(&self) -> Result<Option<Arc<Description>>, model::Error> {
        if let Some(description) = &*self.described.lock() {
            return Ok(Some(Arc::clone(description)));
        }
        // Two requests may read it at the same time; that is cheaper than making all others wait for a slow disk.
        let description = model::describe(&self.place, None, &self.components)?.map(Arc::new);
        self.described.lock().clone_from(&description);
        Ok(description)
    }
}
