//! Models whose components lie beside one another in a folder without a `model_index.json`, as ComfyUI and GGUF files are
//! published and kept: checkpoints side by side, each told by its tensors, or folders that are named for components.

use super::model_files::{SCHEDULER, is_checkpoint};
use super::parts::ComponentSource;
use super::shared::{TRANSFORMER, UNET};
use super::{FAMILIES, Family, ModelFiles, OpenOptions};
use crate::weights::{Files, MemoryFiles, Source, TensorIndex, read_json};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The folders of denoisers.
const DENOISERS: [&str; 2] = [TRANSFORMER, UNET];

/// Opens the model in such a folder. What the options say of a component comes before what lies in the folder.
pub(super) async fn open(files: &dyn Files, list: &[String], options: &OpenOptions) -> Result<ModelFiles> {
    let checkpoints: Vec<&String> = list.iter().filter(|path| is_checkpoint(path)).collect();
    let mut options = options.clone();
    let mut found = BTreeMap::new();
    let folders = folders(list);
    let main = match checkpoints[..] {
        [path] => files.open(path).await?,
        [] => denoiser(files, list, &folders, &mut options).await?,
        _ => side_by_side(files, &checkpoints, &mut found).await?,
    };
    for folder in folders {
        let is_main = checkpoints.is_empty() && DENOISERS.contains(&folder);
        if !is_main {
            found.insert(folder.to_owned(), component(files, list, folder).await?);
        }
    }
    if list.iter().any(|path| path == SCHEDULER) {
        let scheduler = read_json(files, SCHEDULER).await?;
        options.overrides = beneath(options.overrides.take(), "scheduler", scheduler);
    }
    for (name, source) in found {
        options.components.entry(name).or_insert(source);
    }
    ModelFiles::open_file(main, &options).await
}

/// The folders that are named for a component or a tokenizer of some family.
fn folders(list: &[String]) -> BTreeSet<&str> {
    let names: BTreeSet<&str> =
        FAMILIES.iter().flat_map(|family| family.components().iter().chain(family.tokenizers())).copied().collect();
    list.iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|f| names.contains(f))
        .collect()
}

/// The denoiser in the folder that is named for it. A `config.json` beside it says what its tensors don't show.
async fn denoiser(
    files: &dyn Files,
    list: &[String],
    folders: &BTreeSet<&str>,
    options: &mut OpenOptions,
) -> Result<Arc<dyn Source>> {
    let Some(folder) = DENOISERS.into_iter().find(|folder| folders.contains(folder)) else {
        return Err(Error::format(files.name(), "neither model_index.json nor a checkpoint in this folder"));
    };
    let inside = inside(list, folder);
    let checkpoints: Vec<&&str> = inside.iter().filter(|path| is_checkpoint(path)).collect();
    let [checkpoint] = checkpoints[..] else {
        let reason = format!("{} checkpoints, expected one", checkpoints.len());
        return Err(Error::format(format!("{}/{folder}", files.name()), reason));
    };
    if inside.contains(&"config.json") {
        let config = read_json(files, &format!("{folder}/config.json")).await?;
        options.overrides = beneath(options.overrides.take(), folder, config);
    }
    files.open(&format!("{folder}/{checkpoint}")).await
}

/// The overrides with `config` for a component, where they do not say otherwise.
fn beneath(mut overrides: Value, component: &str, mut config: Value) -> Value {
    if overrides.is_null() {
        overrides = json!({});
    }
    if let (Some(config), Some(own)) = (config.as_object_mut(), overrides[component].as_object()) {
        config.extend(own.clone());
    }
    if let Some(overrides) = overrides.as_object_mut() {
        overrides.insert(component.to_owned(), config);
    }
    overrides
}

/// The files in a folder, by their names there.
fn inside<'a>(list: &'a [String], folder: &str) -> Vec<&'a str> {
    let inside = list.iter().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
    inside.filter(|name| !name.contains('/')).collect()
}

/// The component in the folder that is named for it: a file that says all, or a folder of diffusers' kind.
#[cfg_attr(
    target_arch = "wasm32",
    expect(clippy::arc_with_non_send_sync, reason = "a page's files belong to one thread, a host's to all")
)]
async fn component(files: &dyn Files, list: &[String], folder: &str) -> Result<ComponentSource> {
    let inside = inside(list, folder);
    let checkpoints: Vec<&&str> = inside.iter().filter(|path| is_checkpoint(path)).collect();
    if let ([checkpoint], false) = (&checkpoints[..], inside.contains(&"config.json")) {
        return Ok(ComponentSource::File(files.open(&format!("{folder}/{checkpoint}")).await?));
    }
    let mut own = MemoryFiles::new(format!("{}/{folder}", files.name()));
    for name in inside {
        own.insert(name, files.open(&format!("{folder}/{name}")).await?);
    }
    Ok(ComponentSource::Folder(Arc::new(own)))
}

/// The checkpoint with the model or its denoiser; the others are its components.
async fn side_by_side(
    files: &dyn Files,
    checkpoints: &[&String],
    found: &mut BTreeMap<String, ComponentSource>,
) -> Result<Arc<dyn Source>> {
    let mut models = Vec::new();
    let mut others = Vec::new();
    for path in checkpoints {
        let source = files.open(path).await?;
        let index = TensorIndex::open(Arc::clone(&source)).await?;
        match FAMILIES.iter().copied().find(|family| family.has_file(&index)) {
            Some(family) => models.push((family, source)),
            None => others.push((source, index)),
        }
    }
    let (family, main) = match &models[..] {
        [(family, main)] => (*family, Arc::clone(main)),
        _ => {
            let count = checkpoints.len();
            let reason = match models.len() {
                0 => format!("no model_index.json, and none of {count} checkpoints holds a denoiser"),
                models => {
                    format!("no model_index.json, but {count} checkpoints, {models} of them models: open one of them")
                }
            };
            return Err(Error::format(files.name(), reason));
        }
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (source, index) in others {
        candidates.push(Candidate::new(family, source, &index)?);
    }
    // The wider of two encoders of one kind is the second one, in every family; what fits one place alone comes first.
    candidates.sort_by_key(|candidate| (Reverse(candidate.fits.len() == 1), candidate.width));
    for Candidate { source, fits, .. } in candidates {
        let Some(free) = fits.iter().find(|component| !found.contains_key(**component)) else {
            let reason = format!("another {} beside one, expected one file for each component", fits.join(" or "));
            return Err(Error::format(source.name(), reason));
        };
        found.insert((*free).to_owned(), ComponentSource::File(source));
    }
    Ok(main)
}

/// A file that holds a component alone.
struct Candidate {
    source: Arc<dyn Source>,
    /// The components that it may be: text encoders of one kind are alike.
    fits: Vec<&'static str>,
    /// The width of its states.
    width: u64,
}

impl Candidate {
    fn new(family: &dyn Family, source: Arc<dyn Source>, index: &TensorIndex) -> Result<Self> {
        let mut fits = Vec::new();
        let mut width = 0;
        for component in family.components() {
            let Ok(alone) = family.read_component(component, index) else { continue };
            if alone.components.contains_key(component) {
                width = alone.documents[*component]["hidden_size"].as_u64().unwrap_or(0);
                fits.push(*component);
            }
        }
        if fits.is_empty() {
            let reason = format!("no component of {}, the model beside it", family.name());
            return Err(Error::format(source.name(), reason));
        }
        Ok(Self { source, fits, width })
    }
}
