//! Components from other places: models whose denoiser, autoencoder or text encoders are in separate files or folders,
//! as FLUX and many finetuned models are published.

use super::Family;
use crate::weights::{ComponentFiles, Files, MAX_DOCUMENT, Source, TensorIndex, TokenizerFiles, read_all};
use crate::{Error, Result};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The source of a component that is not from the model's own folder or file.
#[derive(Clone)]
pub enum ComponentSource {
    /// A file with the tensors of this component alone, or a checkpoint that contains it among others. Tensor names may
    /// be those of diffusers and transformers or the original ones.
    File(Arc<dyn Source>),
    /// A folder with a `config.json` and weights; for a tokenizer, with its files.
    Folder(Arc<dyn Files>),
}

impl ComponentSource {
    /// A folder or a file on this machine.
    #[cfg(feature = "native")]
    pub fn open_path(path: &std::path::Path) -> Result<Self> {
        if path.is_dir() {
            Ok(Self::Folder(Arc::new(crate::weights::Directory::new(path))))
        } else {
            Ok(Self::File(Arc::new(crate::weights::FileSource::open(path)?)))
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::File(source) => source.name(),
            Self::Folder(files) => files.name(),
        }
    }
}

impl std::fmt::Debug for ComponentSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a component that is missing can be given: on the command line, or in a page.
pub(super) fn way_to_give(component: &str) -> String {
    if cfg!(feature = "native") {
        format!("add --component {component}=PATH")
    } else {
        format!("add it to the files of the model, or give it as components.{component}")
    }
}

/// A component of a model that comes from another place.
pub(super) struct Part<'a> {
    pub(super) family: &'static dyn Family,
    pub(super) name: &'a str,
    /// The model's own configuration for it.
    pub(super) own: Option<&'a Value>,
}

impl Part<'_> {
    /// Opens it. A folder contains its configuration. For a file the model's own configuration is used if it fits,
    /// otherwise one derived from the tensors.
    pub(super) async fn open(&self, source: &ComponentSource, variant: Option<&str>) -> Result<ComponentFiles> {
        match source {
            ComponentSource::Folder(files) => self.open_folder(&**files, variant).await,
            ComponentSource::File(source) => self.read(&TensorIndex::open(Arc::clone(source)).await?),
        }
    }

    async fn open_folder(&self, files: &dyn Files, variant: Option<&str>) -> Result<ComponentFiles> {
        let mut opened = ComponentFiles::open(files, "", variant).await?;
        opened.config_file = format!("{}/{}", files.name(), opened.config_file);
        opened.tensors = opened.tensors.map(|tensor, view| self.family.current(self.name, tensor, view));
        Ok(opened)
    }

    /// Reads the component from a file that contains it alone or among others.
    fn read(&self, index: &TensorIndex) -> Result<ComponentFiles> {
        let mut checkpoint = self.family.read_component(self.name, index)?;
        let Some(tensors) = checkpoint.components.remove(self.name) else {
            let reason = format!("contains no {} of {}", self.name, self.family.name());
            return Err(Error::format(index.file(), reason));
        };
        let config = checkpoint.documents.get_mut(self.name).map(Value::take).unwrap_or_default();
        let mut opened = ComponentFiles::detected(self.name, index.with_tensors(tensors), config);
        if let Some(own) = self.own.filter(|own| fits(own, &opened.config)) {
            opened.config = own.clone();
            opened.config_file = format!("{}/config.json of the model", self.name);
        }
        Ok(opened)
    }
}

/// Opens the tokenizer `name` from another place.
pub(super) async fn open_tokenizer(name: &str, source: &ComponentSource) -> Result<TokenizerFiles> {
    let ComponentSource::Folder(files) = source else {
        return Err(Error::format(source.name(), format!("is a file, but {name} must be a folder")));
    };
    let read = read_tokenizer(&**files, &files.list().await?, "").await?;
    read.ok_or_else(|| Error::format(files.name(), "contains no files of a tokenizer"))
}

/// Reads the tokenizer in a folder of `files` (empty for the top), if there is one.
pub(crate) async fn read_tokenizer(files: &dyn Files, list: &[String], folder: &str) -> Result<Option<TokenizerFiles>> {
    let shown = if folder.is_empty() { files.name() } else { folder };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut tokenizer = TokenizerFiles { folder: shown.to_owned(), files: BTreeMap::new() };
    for name in crate::text::TokenizerFiles::NAMES {
        let path = format!("{prefix}{name}");
        if list.contains(&path) {
            let bytes = read_all(&*files.open(&path).await?, MAX_DOCUMENT).await?;
            tokenizer.files.insert(name.to_owned(), bytes);
        }
    }
    Ok((!tokenizer.files.is_empty()).then_some(tokenizer))
}

/// The files of a tokenizer of T5.
pub(super) fn t5_tokenizer(folder: &str, tokenizer_json: Bytes) -> TokenizerFiles {
    let special_tokens = Bytes::from_static(crate::text::T5_SPECIAL_TOKENS.as_bytes());
    let files = [("tokenizer.json", tokenizer_json), ("special_tokens_map.json", special_tokens)];
    TokenizerFiles { folder: folder.to_owned(), files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into() }
}

/// The fields that shapes reveal for every network. Configurations that agree on these have the same architecture.
const SIZES: [&str; 10] = [
    "_class_name",
    "in_channels",
    "out_channels",
    "block_out_channels",
    "layers_per_block",
    "latent_channels",
    "cross_attention_dim",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
];

/// Whether a configuration fits the tensors from which `detected` was derived.
fn fits(own: &Value, detected: &Value) -> bool {
    let agree = |field: &&str| match (own.get(field), detected.get(field)) {
        (Some(own), Some(detected)) => own == detected,
        _ => true,
    };
    own.is_object() && SIZES.iter().all(agree)
}
