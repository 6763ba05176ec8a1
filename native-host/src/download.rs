//! Downloads a model from the Hugging Face hub.

use crate::args::PullArgs;
use anyhow::{Result, bail};
use easel_inference::analysis::{ClipFiles, SamFiles};
use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::CancelToken;
use easel_inference::weights::{ComponentFiles, DownloadProgress, Files, Hub};
use pollster::block_on;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// The progress of the download of one file, in bytes.
pub(crate) struct Download<'a> {
    pub(crate) file: &'a str,
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// Downloads the files of a model that are missing in the cache, and returns the model's folder. Opening the model
/// selects the files: its configurations, tokenizers and weights.
pub(crate) fn pull(
    repository: &str,
    args: &PullArgs,
    mut watch: impl FnMut(Download<'_>) + Send + 'static,
    cancel: &CancelToken,
) -> Result<PathBuf> {
    let hub = Hub::from_env()?;
    let revision = Some(args.revision.as_str());
    let cancel = cancel.clone();
    let files = hub.repository(repository, revision)?.watched(move |progress: &DownloadProgress<'_>| {
        watch(Download { file: progress.path, done: progress.received, of: progress.total });
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let list = block_on(files.list())?;
    let has = |name: &str| list.iter().any(|path| path == name);
    if has("config.json") && !has("model_index.json") {
        let component = block_on(ComponentFiles::open(&files, "", args.variant.as_deref()))?;
        match component.config["model_type"].as_str() {
            Some("clip") => drop(block_on(ClipFiles::open(&files))?),
            Some("sam") => drop(block_on(SamFiles::open(&files))?),
            _ => {}
        }
    } else if !has("model_index.json") && list.iter().any(|path| path.ends_with("sam.pt")) {
        block_on(SamFiles::open(&files))?;
    } else {
        let options = OpenOptions { variant: args.variant.clone(), ..OpenOptions::default() };
        block_on(ModelFiles::open(&files, &options))?;
    }
    match hub.cached(repository, revision) {
        Some(folder) => Ok(folder),
        None => bail!("{repository}: downloaded, but not in the cache at {}", hub.cache().display()),
    }
}
