//! The contents of a model, a component or a file of tensors, without reading weights.

use crate::args::InspectArgs;
use anyhow::{Result, bail};
use easel_host::model::open;
use easel_host::names::Place;
use easel_inference::families::ModelFiles;
use easel_inference::weights::{ComponentFiles, Directory, FileSource, TensorIndex};
use pollster::block_on;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// A model or a part of one.
pub(crate) struct Contents {
    pub(crate) name: String,
    /// The class of the corresponding diffusers pipeline, or why this is not a model.
    pub(crate) family: String,
    pub(crate) components: Vec<Component>,
    pub(crate) scheduler: Value,
}

/// One network of a model.
pub(crate) struct Component {
    pub(crate) name: String,
    /// The configuration as in diffusers, derived from the tensors if the file has none.
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
    fn new(name: &str, config: &Value, index: &TensorIndex) -> Self {
        let tensor = |(name, view): (&str, &easel_inference::weights::TensorView)| TensorInfo {
            name: name.to_owned(),
            dtype: view.dtype().name(),
            shape: view.shape().to_vec(),
            bytes: view.bytes(),
        };
        Self { name: name.to_owned(), config: config.clone(), tensors: index.iter().map(tensor).collect() }
    }

    /// The class in diffusers or transformers.
    pub(crate) fn class(&self) -> &str {
        let class = self.config["_class_name"].as_str().or_else(|| self.config["architectures"][0].as_str());
        class.unwrap_or("-")
    }

    /// The number of elements of all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.shape.iter().map(|size| *size as u64).product::<u64>()).sum()
    }

    /// The stored size of all tensors.
    pub(crate) fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }
}

/// Reads the contents of a model, of a component's folder, or of a file with any tensors.
pub(crate) fn contents(place: &Place, args: &InspectArgs) -> Result<Contents> {
    let variant = args.variant.as_deref();
    match place {
        Place::Stub => bail!("the stub model has no files"),
        Place::Path(path) if path.is_file() => file(path, args),
        Place::Path(path) if is_component(path) => {
            let files = block_on(ComponentFiles::open(&Directory::new(path), "", variant))?;
            let component = Component::new("-", &files.config, &files.tensors);
            let family = "one component of a model".to_owned();
            let name = path.display().to_string();
            Ok(Contents { name, family, components: vec![component], scheduler: Value::Null })
        }
        _ => Ok(model(&open(place, variant, &args.component)?)),
    }
}

fn is_component(folder: &Path) -> bool {
    folder.join("config.json").is_file() && !folder.join("model_index.json").is_file()
}

/// Reads a checkpoint of a whole model, or any other file of tensors.
fn file(path: &Path, args: &InspectArgs) -> Result<Contents> {
    let index = block_on(TensorIndex::open(Arc::new(FileSource::open(path)?)))?;
    let place = Place::Path(path.to_owned());
    let why = match open(&place, args.variant.as_deref(), &args.component) {
        Ok(files) => return Ok(model(&files)),
        Err(why) if !args.component.is_empty() => return Err(why.into()),
        Err(why) => why.to_string(),
    };
    let name = path.display().to_string();
    let why = why.trim_start_matches(&format!("{name}: "));
    let components = vec![Component::new("-", &Value::Null, &index)];
    Ok(Contents { name, family: format!("not a whole model: {why}"), components, scheduler: Value::Null })
}

fn model(files: &ModelFiles) -> Contents {
    let components = files.components();
    Contents {
        name: files.name().to_owned(),
        family: files.model_index()["_class_name"].as_str().unwrap_or("unknown family").to_owned(),
        components: components.map(|(name, part)| Component::new(name, &part.config, &part.tensors)).collect(),
        scheduler: files.scheduler().clone(),
    }
}
