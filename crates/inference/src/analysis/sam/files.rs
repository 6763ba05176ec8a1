//! The files of a SAM: a folder of Hugging Face, or one file of the original repository or of MobileSAM.

use super::detect::detect;
use super::names::{is_original, rename};
use crate::analysis::preprocessor;
use crate::weights::{ComponentFiles, Files, Source, TensorIndex};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The files of a SAM, opened and not loaded yet: those of a hub repository are fetched.
pub struct SamFiles {
    pub(super) component: ComponentFiles,
    pub(super) preprocessor: Value,
}

impl SamFiles {
    /// Opens the model in a folder: a `config.json` and its weights, or a single checkpoint.
    pub async fn open(files: &dyn Files) -> Result<Self> {
        let list = files.list().await?;
        if list.iter().any(|path| path == "config.json") {
            let preprocessor = preprocessor(files, &list).await?;
            return Ok(Self { component: ComponentFiles::open(files, "", None).await?, preprocessor });
        }
        let ends = [".pth", ".pt", ".safetensors"];
        let checkpoints: Vec<&String> = list.iter().filter(|path| ends.iter().any(|end| path.ends_with(end))).collect();
        // A repository may have others for other programs beside it.
        let mobile = checkpoints.iter().find(|path| path.as_str() == "mobile_sam.pt");
        match (mobile, &checkpoints[..]) {
            (Some(path), _) | (None, [path]) => Self::open_file(files.open(path).await?).await,
            _ => {
                let reason = format!("no config.json and {} checkpoints, expected one of them", checkpoints.len());
                Err(Error::format(files.name(), reason))
            }
        }
    }

    /// Opens a checkpoint of the original repository (`sam_vit_b_01ec64.pth`) or of MobileSAM (`mobile_sam.pt`).
    pub async fn open_file(source: Arc<dyn Source>) -> Result<Self> {
        let index = TensorIndex::open(source).await?;
        if !index.iter().any(|(name, _)| is_original(name)) {
            let reason = "no tensors of image_encoder, expected a checkpoint of segment-anything or MobileSAM";
            return Err(Error::format(index.file(), reason));
        }
        let named = index.iter().filter_map(|(name, view)| Some((rename(name)?, view.clone())));
        let tensors: BTreeMap<_, _> = named.collect();
        let index = index.with_tensors(tensors);
        let config = detect(&index)?;
        Ok(Self { component: ComponentFiles::detected("sam", index, config), preprocessor: json!({}) })
    }

    /// Opens a folder or a file.
    #[cfg(feature = "native")]
    pub async fn open_path(path: &std::path::Path) -> Result<Self> {
        if path.is_dir() {
            Self::open(&crate::weights::Directory::new(path)).await
        } else {
            Self::open_file(Arc::new(crate::weights::FileSource::open(path)?)).await
        }
    }

    /// The configuration and the tensors, for programs that show them.
    pub fn component(&self) -> &ComponentFiles {
        &self.component
    }
}
