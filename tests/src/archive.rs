//! A reference file, read with the `safetensors` crate instead of the reader under test.

use anyhow::{Context, Result, bail};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of one reference file.
pub(crate) struct Archive {
    tensors: BTreeMap<String, Entry>,
}

/// A tensor; integers are read as floats.
pub(crate) struct Entry {
    pub(crate) shape: Vec<usize>,
    pub(crate) whole: bool,
    pub(crate) data: Vec<f32>,
}

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let words = view.data();
            let data = match view.dtype() {
                Dtype::F32 => words.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
                Dtype::I64 => words
                    .chunks_exact(8)
                    .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                    .collect(),
                other => bail!("{}: tensor {name} has type {other:?}", path.display()),
            };
            let entry = Entry { shape: view.shape().to_vec(), whole: view.dtype() == Dtype::I64, data };
            tensors.insert(name.to_owned(), entry);
        }
        Ok(Self { tensors })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name)
    }

    pub(crate) fn require(&self, name: &str) -> Result<&Entry> {
        self.get(name).with_context(|| format!("tensor {name} is missing"))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}
