//! `ModelFiles`: a whole model, from a diffusers folder or from a single file, as the same components and documents.

use super::parts::{self, ComponentSource, Part};
use super::{FAMILIES, Family, assembly, unsupported};
use crate::weights::{ComponentFiles, Files, Source, TensorIndex, TokenizerFiles, read_json};
use crate::{Error, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a model is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The variant of weight files to prefer (`fp16`). A component without it is opened without a variant, but if no
    /// component has it, that is an error.
    pub variant: Option<String>,
    /// Fields to set in the configurations, by component: `{"unet": {"attention_head_dim": 4}, "scheduler": {...}}`.
    /// For a single file these are the values that its tensors do not reveal.
    pub overrides: Value,
    /// Components and tokenizers from other places, by name. They replace the model's own or add missing ones.
    pub components: BTreeMap<String, ComponentSource>,
}

/// A model: its family, the configurations of all components by name, and the files of their weights. Components are
/// loaded one by one, so that one can be dropped before the next.
#[derive(Clone)]
pub struct ModelFiles {
    family: &'static dyn Family,
    name: String,
    model_index: Value,
    components: BTreeMap<String, ComponentFiles>,
    scheduler: Value,
    tokenizers: BTreeMap<String, TokenizerFiles>,
}

impl ModelFiles {
    /// Opens the model in a set of files: a diffusers folder (with a `model_index.json`), a folder with one
    /// checkpoint, or one with a denoiser and the other components beside it: each in a checkpoint, or in a folder that is
    /// named for it. All files of the model are opened, so those of a hub repository are downloaded now.
    pub async fn open(files: &dyn Files, options: &OpenOptions) -> Result<Self> {
        let list = files.list().await?;
        if list.iter().any(|path| path == "model_index.json") {
            return Self::open_folder(files, &list, options).await;
        }
        assembly::open(files, &list, options).await
    }

    /// Opens a checkpoint in the original layout. It contains a whole model, or a denoiser whose other components are
    /// in [`OpenOptions::components`].
    pub async fn open_file(source: Arc<dyn Source>, options: &OpenOptions) -> Result<Self> {
        let index = TensorIndex::open(source).await?;
        let family = family_of_file(&index)?;
        let checkpoint = family.read_file(&index)?;
        let mut documents = checkpoint.documents;
        let mut take = |name: &str| documents.get_mut(name).map(Value::take).unwrap_or_default();
        let mut components = BTreeMap::new();
        for (name, tensors) in checkpoint.components {
            let files = ComponentFiles::detected(name, index.with_tensors(tensors), take(name));
            components.insert(name.to_owned(), files);
        }
        let name = index.file().to_owned();
        let model_index = take("model_index");
        let scheduler = take("scheduler");
        let model = Self { family, name, model_index, components, scheduler, tokenizers: BTreeMap::new() };
        model.completed(options, &BTreeMap::new()).await
    }

    /// Opens a diffusers folder, or a single file.
    #[cfg(feature = "native")]
    pub async fn open_path(path: &std::path::Path, options: &OpenOptions) -> Result<Self> {
        if path.is_dir() {
            Self::open(&crate::weights::Directory::new(path), options).await
        } else {
            Self::open_file(Arc::new(crate::weights::FileSource::open(path)?), options).await
        }
    }

    async fn open_folder(files: &dyn Files, list: &[String], options: &OpenOptions) -> Result<Self> {
        let model_index = read_json(files, "model_index.json").await?;
        let family = family_of_folder(files.name(), &model_index)?;
        let mut components = BTreeMap::new();
        let mut replaced = BTreeMap::new();
        for component in family.components().iter().copied().filter(|component| is_part(&model_index, component)) {
            if options.components.contains_key(component) {
                let config = format!("{component}/config.json");
                if list.contains(&config) {
                    replaced.insert(component, read_json(files, &config).await?);
                }
                continue;
            }
            let mut opened = ComponentFiles::open(files, component, options.variant.as_deref()).await?;
            opened.tensors = opened.tensors.map(|name, view| family.current(component, name, view));
            components.insert(component.to_owned(), opened);
        }
        if let Some(variant) = &options.variant
            && !components.is_empty()
            && !components.values().any(|component| component.variant.as_ref() == Some(variant))
        {
            return Err(Error::invalid("variant", format!("{} has no weights of variant {variant:?}", files.name())));
        }
        let has_scheduler = list.iter().any(|path| path == SCHEDULER);
        let scheduler = if has_scheduler { read_json(files, SCHEDULER).await? } else { Value::Null };
        let mut tokenizers = BTreeMap::new();
        for folder in family.tokenizers().iter().filter(|folder| is_part(&model_index, folder)) {
            if let Some(tokenizer) = parts::read_tokenizer(files, list, folder).await? {
                tokenizers.insert((*folder).to_owned(), tokenizer);
            }
        }
        let name = files.name().to_owned();
        let model = Self { family, name, model_index, components, scheduler, tokenizers };
        model.completed(options, &replaced).await
    }

    /// Applies the components and overrides of `options`. `replaced` has the configurations of those components that
    /// the model's own folder has too.
    async fn completed(mut self, options: &OpenOptions, replaced: &BTreeMap<&str, Value>) -> Result<Self> {
        for (name, source) in &options.components {
            if self.family.tokenizers().contains(&name.as_str()) {
                self.tokenizers.insert(name.clone(), parts::open_tokenizer(name, source).await?);
            } else if self.family.components().contains(&name.as_str()) {
                let own = self.get(name).map(|own| &own.config).or_else(|| replaced.get(name.as_str()));
                let part = Part { family: self.family, name, own };
                let opened = part.open(source, options.variant.as_deref()).await?;
                self.components.insert(name.clone(), opened);
            } else {
                let known = [self.family.components(), self.family.tokenizers()].concat().join(", ");
                let reason = format!("unknown component {name:?}; {} has {known}", self.family.name());
                return Err(Error::invalid("components", reason));
            }
        }
        self.apply(&options.overrides)?;
        Ok(self)
    }

    /// Sets the fields of `overrides` in the documents of the model.
    fn apply(&mut self, overrides: &Value) -> Result<()> {
        let mut documents = json!({"model_index": self.model_index.take(), "scheduler": self.scheduler.take()});
        for (component, files) in &mut self.components {
            documents[component] = files.config.take();
        }
        merge(&mut documents, overrides)?;
        self.model_index = documents["model_index"].take();
        self.scheduler = documents["scheduler"].take();
        for (component, files) in &mut self.components {
            files.config = documents[component].take();
        }
        Ok(())
    }

    /// The model's family.
    pub fn family(&self) -> &'static dyn Family {
        self.family
    }

    /// The folder, file or address of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `model_index.json`, generated for a single file.
    pub fn model_index(&self) -> &Value {
        &self.model_index
    }

    /// The `scheduler_config.json`, generated for a single file; `null` if the model has none.
    pub fn scheduler(&self) -> &Value {
        &self.scheduler
    }

    /// The model's components by name.
    pub fn components(&self) -> impl Iterator<Item = (&str, &ComponentFiles)> {
        self.components.iter().map(|(component, files)| (component.as_str(), files))
    }

    /// A component, if the model has it.
    pub fn get(&self, component: &str) -> Option<&ComponentFiles> {
        self.components.get(component)
    }

    /// A component, or an error that says which components are missing and how to add them.
    pub fn component(&self, component: &str) -> Result<&ComponentFiles> {
        let missing = || {
            let others = self.family.components().iter().copied().filter(|other| *other != component);
            let lacking: Vec<&str> = others.filter(|other| self.get(other).is_none()).collect();
            let also = if lacking.is_empty() { String::new() } else { format!(" (nor {})", lacking.join(", ")) };
            let reason = format!("this model has no {component}{also}; {}", parts::way_to_give(component));
            Error::format(&*self.name, reason)
        };
        self.get(component).ok_or_else(missing)
    }

    /// Replaces a component, for example by a tiny autoencoder.
    pub fn replace(&mut self, component: &str, files: ComponentFiles) {
        self.components.insert(component.to_owned(), files);
    }

    /// Removes a component that the family does not need, such as T5 in Stable Diffusion 3.
    pub fn leave_out(&mut self, component: &str) {
        self.components.remove(component);
    }

    /// Whether it has a T5 encoder without a vocabulary: single files bring none, and pages have none built in.
    pub fn lacks_vocabulary(&self) -> bool {
        self.family
            .t5()
            .is_some_and(|[encoder, tokenizer]| self.get(encoder).is_some() && self.tokenizer(tokenizer).is_none())
    }

    /// Gives its T5 encoder the vocabulary of all published models, a `tokenizer.json`.
    pub fn set_vocabulary(&mut self, tokenizer_json: Bytes) {
        let Some([_, folder]) = self.family.t5() else { return };
        self.tokenizers.insert(folder.to_owned(), parts::t5_tokenizer(folder, tokenizer_json));
    }

    /// The files of the tokenizer in this folder. `None` stands for the family's built-in vocabulary, because single
    /// files contain none.
    pub fn tokenizer(&self, folder: &str) -> Option<&TokenizerFiles> {
        self.tokenizers.get(folder)
    }
}

/// The family of a folder.
fn family_of_folder(name: &str, model_index: &Value) -> Result<&'static dyn Family> {
    unsupported::reject_folder(name, model_index)?;
    let found = FAMILIES.iter().copied().find(|family| family.has_folder(model_index));
    found.ok_or_else(|| {
        let class = model_index["_class_name"].as_str().unwrap_or("(none)");
        Error::format(name, format!("model_index.json has the class {class}, expected a model of {}", family_names()))
    })
}

/// The family of a single file.
fn family_of_file(index: &TensorIndex) -> Result<&'static dyn Family> {
    unsupported::reject_file(index)?;
    let found = FAMILIES.iter().copied().find(|family| family.has_file(index));
    found.ok_or_else(|| Error::format(index.file(), why_no_model(index)))
}

/// The reason why a file is not a model of any family.
fn why_no_model(index: &TensorIndex) -> String {
    for family in FAMILIES {
        for component in family.components() {
            if family.read_component(component, index).is_ok_and(|alone| alone.components.contains_key(component)) {
                return format!(
                    "only contains a {component}: open the rest of the model and {}",
                    parts::way_to_give(component)
                );
            }
        }
    }
    format!("contains no component of {}, expected the checkpoint of a whole model or of its denoiser", family_names())
}

fn family_names() -> String {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.name()).collect();
    names.join(" or ")
}

/// The file of the scheduler in a folder of diffusers.
pub(super) const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Whether `model_index.json` names a component; `[null, null]` stands for none.
fn is_part(model_index: &Value, name: &str) -> bool {
    model_index.get(name).is_some_and(|entry| entry.get(1).is_some_and(Value::is_string))
}

/// A checkpoint at the top of a folder, by its name.
pub(super) fn is_checkpoint(path: &str) -> bool {
    !path.contains('/') && [".safetensors", ".gguf", ".ckpt", ".pt", ".pth"].iter().any(|end| path.ends_with(end))
}

/// Sets fields of documents: `overrides` has an object of fields for each document it changes.
fn merge(documents: &mut Value, overrides: &Value) -> Result<()> {
    let problem = |reason: String| Error::invalid("overrides", reason);
    let overrides = match overrides {
        Value::Null => return Ok(()),
        Value::Object(overrides) => overrides,
        _ => return Err(problem("expected an object of components".into())),
    };
    for (name, fields) in overrides {
        let Value::Object(fields) = fields else {
            return Err(problem(format!("{name}: expected an object of fields")));
        };
        match documents.get_mut(name) {
            Some(Value::Object(document)) => document.extend(fields.clone()),
            Some(document @ Value::Null) => *document = Value::Object(fields.clone()),
            _ => return Err(problem(format!("the model has no {name}"))),
        }
    }
    Ok(())
}
