//! `ModelFiles`: a whole model, from a diffusers folder or from a single file, as the same components and documents.

use super::component::{Component, ComponentFiles, MAX_DOCUMENT, read_json};
use super::detect;
use super::files::Files;
use super::index::TensorIndex;
use super::names;
use super::source::{Source, read_all};
use crate::weights::Weights;
use crate::{DType, Device, Error, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a model is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The variant of weight files to prefer (`fp16`). A component that has none of it is opened as it is, but if none has,
    /// that is an error.
    pub variant: Option<String>,
    /// Fields to set in the configurations, by component: `{"unet": {"attention_head_dim": 4}, "scheduler": {...}}`. With a
    /// single file, this is the way to say what its tensors don't show.
    pub overrides: Value,
}

/// The files of one tokenizer, as they are.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles {
    /// What errors call the folder: `tokenizer` or `tokenizer_2`.
    pub folder: String,
    /// The files by name, those of [`text::TokenizerFiles`](crate::text::TokenizerFiles).
    pub files: BTreeMap<String, Bytes>,
}

impl TokenizerFiles {
    /// The bytes of a file.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|bytes| &bytes[..])
    }
}

/// A model: the configurations of all components, and where their weights are. Components load one by one, so that one can
/// be dropped before the next.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    name: String,
    model_index: Value,
    components: BTreeMap<Component, ComponentFiles>,
    scheduler: Value,
    tokenizers: [Option<TokenizerFiles>; 2],
}

impl ModelFiles {
    /// Opens the model in a set of files: a diffusers folder (there is a `model_index.json`), or a folder with one checkpoint.
    /// Every file that the model needs is opened: those of a hub repository are fetched now.
    pub async fn open(files: &dyn Files, options: &OpenOptions) -> Result<Self> {
        let list = files.list().await?;
        if list.iter().any(|path| path == "model_index.json") {
            return Self::open_folder(files, &list, options).await;
        }
        let checkpoints: Vec<&String> = list.iter().filter(|path| is_checkpoint(path)).collect();
        match checkpoints[..] {
            [path] => Self::open_file(files.open(path).await?, options).await,
            [] => Err(Error::format(files.name(), "neither model_index.json nor a checkpoint in this folder")),
            _ => {
                let reason = format!("no model_index.json, but {} checkpoints: open one of them", checkpoints.len());
                Err(Error::format(files.name(), reason))
            }
        }
    }

    /// Opens a checkpoint that holds a whole model in the original layout.
    pub async fn open_file(source: Arc<dyn Source>, options: &OpenOptions) -> Result<Self> {
        let index = TensorIndex::open(source).await?;
        if !names::is_original(&index) {
            let reason =
                "no UNet, autoencoder or text encoder of a known layout, expected the checkpoint of a whole model";
            return Err(Error::format(&*index.file, reason));
        }
        let tensors = names::components(&index)?;
        let mut documents = detect::documents(&index, &tensors)?;
        merge(&mut documents, &options.overrides)?;
        let mut take = |name: &str| documents.get_mut(name).map(Value::take).unwrap_or_default();
        let component = |(component, tensors): (Component, _)| {
            let config = take(component.folder());
            let config_file = format!("{}: detected {} configuration", index.file, component.folder());
            (component, ComponentFiles { config_file, config, tensors: index.with_tensors(tensors), variant: None })
        };
        let components = tensors.into_iter().map(component).collect();
        let (model_index, scheduler) = (take("model_index"), take("scheduler"));
        Ok(Self { name: index.file.clone(), model_index, components, scheduler, tokenizers: [None, None] })
    }

    /// Opens a diffusers folder, or a single file.
    #[cfg(feature = "native")]
    pub async fn open_path(path: &std::path::Path, options: &OpenOptions) -> Result<Self> {
        if path.is_dir() {
            Self::open(&super::Directory::new(path), options).await
        } else {
            Self::open_file(Arc::new(super::FileSource::open(path)?), options).await
        }
    }

    async fn open_folder(files: &dyn Files, list: &[String], options: &OpenOptions) -> Result<Self> {
        let model_index = read_json(files, "model_index.json").await?;
        let named = |name: &str| is_part(&model_index, name);
        let mut components = BTreeMap::new();
        for component in Component::ALL.into_iter().filter(|component| named(component.folder())) {
            let opened = ComponentFiles::open(files, component.folder(), options.variant.as_deref()).await?;
            components.insert(component, opened);
        }
        if let Some(variant) = &options.variant
            && !components.values().any(|component| component.variant.as_ref() == Some(variant))
        {
            return Err(Error::invalid("variant", format!("{} has no weights of variant {variant:?}", files.name())));
        }
        let has_scheduler = list.iter().any(|path| path == SCHEDULER);
        let scheduler = if has_scheduler { read_json(files, SCHEDULER).await? } else { Value::Null };
        let mut tokenizers = [None, None];
        for (tokenizer, folder) in
            tokenizers.iter_mut().zip(["tokenizer", "tokenizer_2"]).filter(|(_, folder)| named(folder))
        {
            *tokenizer = open_tokenizer(files, list, folder).await?;
        }
        let mut model = Self { name: files.name().to_owned(), model_index, components, scheduler, tokenizers };
        model.apply(&options.overrides)?;
        Ok(model)
    }

    /// Sets the fields of `overrides` in the documents of a folder.
    fn apply(&mut self, overrides: &Value) -> Result<()> {
        let mut documents = json!({"model_index": self.model_index.take(), "scheduler": self.scheduler.take()});
        for (component, files) in &mut self.components {
            documents[component.folder()] = files.config.take();
        }
        merge(&mut documents, overrides)?;
        self.model_index = documents["model_index"].take();
        self.scheduler = documents["scheduler"].take();
        for (component, files) in &mut self.components {
            files.config = documents[component.folder()].take();
        }
        Ok(())
    }

    /// The folder, file or address that the model is from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `model_index.json`, or what it would be.
    pub fn model_index(&self) -> &Value {
        &self.model_index
    }

    /// The `scheduler_config.json`, or what it would be; `null` if the model has none.
    pub fn scheduler(&self) -> &Value {
        &self.scheduler
    }

    /// The components that the model has.
    pub fn components(&self) -> impl Iterator<Item = (Component, &ComponentFiles)> {
        self.components.iter().map(|(component, files)| (*component, files))
    }

    /// A component, if the model has it.
    pub fn get(&self, component: Component) -> Option<&ComponentFiles> {
        self.components.get(&component)
    }

    /// A component, or an error that says that the model has none.
    pub fn component(&self, component: Component) -> Result<&ComponentFiles> {
        let missing = || Error::format(&*self.name, format!("this model has no {}", component.folder()));
        self.get(component).ok_or_else(missing)
    }

    /// Puts another component in the place of the model's: a tiny autoencoder, for example.
    pub fn replace(&mut self, component: Component, files: ComponentFiles) {
        self.components.insert(component, files);
    }

    /// The tokenizer files of the first or second text encoder (0 or 1). `None`: use CLIP's vocabulary, which single files
    /// leave out.
    pub fn tokenizer(&self, index: usize) -> Option<&TokenizerFiles> {
        self.tokenizers.get(index).and_then(Option::as_ref)
    }

    /// Loads the weights of a component; see [`TensorIndex::load`].
    pub async fn weights(&self, component: Component, device: &Device, dtype: Option<DType>) -> Result<Weights> {
        self.component(component)?.weights(device, dtype).await
    }
}

const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Whether `model_index.json` names a component; `[null, null]` stands for none.
fn is_part(model_index: &Value, name: &str) -> bool {
    model_index.get(name).is_some_and(|entry| entry.get(1).is_some_and(Value::is_string))
}

/// A checkpoint at the top of a folder, by its name.
fn is_checkpoint(path: &str) -> bool {
    !path.contains('/') && [".safetensors", ".ckpt", ".pt", ".pth"].iter().any(|end| path.ends_with(end))
}

async fn open_tokenizer(files: &dyn Files, list: &[String], folder: &str) -> Result<Option<TokenizerFiles>> {
    let mut tokenizer = TokenizerFiles { folder: folder.to_owned(), files: BTreeMap::new() };
    for name in crate::text::TokenizerFiles::NAMES {
        let path = format!("{folder}/{name}");
        if list.contains(&path) {
            let bytes = read_all(&*files.open(&path).await?, MAX_DOCUMENT).await?;
            tokenizer.files.insert(name.to_owned(), bytes);
        }
    }
    Ok((!tokenizer.files.is_empty()).then_some(tokenizer))
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
