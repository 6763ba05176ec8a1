//! Finds the reference folders under a path and runs each kind.

use crate::files::read_json;
use crate::{Check, emoji, modules, pipelines, rng, schedulers, tokenizer, vision};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A folder with reference cases.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is skipped, if it is.
    pub skip: Option<String>,
    /// The only case to run, if not all of them.
    only: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Clip,
    Sam,
    Schedulers,
    Rng,
    Tokenizer,
    Emoji,
}

/// Model classes whose cases can be run.
const CLASSES: [&str; 10] = [
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "LatentConsistencyModelPipeline",
    "StableDiffusion3Pipeline",
    "FluxPipeline",
    "AutoencoderTiny",
];

/// The reference folders at `dir`: itself, or the folders directly below it, in the order of their names. A path like
/// `sd15/unet` that is no folder is a case of the folder above it.
pub fn find(dir: &Path) -> Result<Vec<Folder>> {
    if !dir.exists() {
        let missing = || format!("{}: no such folder or case", dir.display());
        let case = dir.file_name().with_context(missing)?;
        let above = dir.parent().with_context(missing)?;
        let folder = recognise(above)?.with_context(missing)?;
        return Ok(vec![Folder { only: Some(case.to_string_lossy().into_owned()), ..folder }]);
    }
    if let Some(folder) = recognise(dir)? {
        return Ok(vec![folder]);
    }
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_dir()).collect();
    paths.sort();
    let folders = paths.iter().map(|path| recognise(path)).collect::<Result<Vec<_>>>()?;
    Ok(folders.into_iter().flatten().collect())
}

fn recognise(path: &Path) -> Result<Option<Folder>> {
    let folder = |kind, skip| Ok(Some(Folder { path: path.to_owned(), skip, only: None, kind }));
    if path.join("cases/cases.json").is_file() {
        return match class_of(path)?.as_str() {
            "clip" => folder(Kind::Clip, None),
            "sam" => folder(Kind::Sam, None),
            class => folder(Kind::Model, (!CLASSES.contains(&class)).then(|| format!("{class} is not supported"))),
        };
    }
    let file = path.join("cases.json");
    if !file.is_file() {
        return Ok(None);
    }
    let cases = read_json(&file)?;
    if cases.get("schedulers").is_some() {
        folder(Kind::Schedulers, None)
    } else if cases.get("generator").is_some() {
        folder(Kind::Rng, None)
    } else if path.join("cases.safetensors").is_file() {
        folder(Kind::Emoji, None)
    } else {
        folder(Kind::Tokenizer, None)
    }
}

/// The class of the pipeline in this folder, or the kind of its only model. A folder without weights has that of the
/// folder beside it which its first case names.
fn class_of(path: &Path) -> Result<String> {
    let file = [path.join("model_index.json"), path.join("config.json")].into_iter().find(|file| file.is_file());
    let Some(file) = file else {
        let cases = read_json(&path.join("cases/cases.json"))?;
        let Some(weights) = cases["cases"][0]["weights"].as_str() else {
            bail!("{}: neither model_index.json nor config.json", path.display())
        };
        return own_class(&path.join("..").join(weights).join("model_index.json"));
    };
    own_class(&file)
}

fn own_class(file: &Path) -> Result<String> {
    let config = read_json(file)?;
    let class = config["_class_name"].as_str().or_else(|| config["model_type"].as_str());
    Ok(class.unwrap_or("(no class)").to_owned())
}

impl Folder {
    /// Runs every case of the folder, or the only one that was asked for.
    pub fn run(&self) -> Result<Vec<Check>> {
        let only = self.only.as_deref();
        if let Some(case) = only
            && self.kind != Kind::Model
        {
            bail!("{}/{case}: only cases of models that draw can be run alone", self.path.display());
        }
        match self.kind {
            Kind::Schedulers => schedulers::run(&self.path),
            Kind::Rng => rng::run(&self.path),
            Kind::Tokenizer => tokenizer::run(&self.path),
            Kind::Emoji => emoji::run(&self.path),
            Kind::Clip => vision::run(&self.path, "clip"),
            Kind::Sam => vision::run(&self.path, "sam"),
            Kind::Model => {
                let mut checks = modules::run(&self.path, only)?;
                checks.extend(pipelines::run(&self.path, only)?);
                match only {
                    Some(case) if checks.is_empty() => bail!("{} has no case {case:?}", self.path.display()),
                    _ => Ok(checks),
                }
            }
        }
    }
}
