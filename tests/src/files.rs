//! Reading the golden folder with the `safetensors` crate, which is independent of the readers under test.

use anyhow::{Context, Result, anyhow, bail};
use easel_inference::weights::Weights;
use easel_inference::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// The cases in `cases/cases.json` of a folder, or the one of this name.
pub(crate) fn read_cases(dir: &Path, only: Option<&str>) -> Result<Vec<Value>> {
    let mut file = read_json(&dir.join("cases/cases.json"))?;
    let Value::Array(mut cases) = file["cases"].take() else { bail!("{}: no list of cases", dir.display()) };
    cases.retain(|case| only.is_none_or(|only| case["name"] == only));
    Ok(cases)
}

/// An array of a case: floats and integers as `f32`, in the layout of the file.
#[derive(Clone, Debug)]
pub struct Array {
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub data: Vec<f32>,
}

impl Array {
    /// The array as a tensor.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.data.clone(), &self.shape, device)?.cast(device.float())?)
    }

    /// `[n, c, h, w]` as a channels-last tensor.
    pub fn channels_last(&self, device: &Device) -> Result<Tensor> {
        Ok(self.tensor(device)?.to_channels_last()?)
    }

    /// The rows of the last axis.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks(self.shape.last().copied().unwrap_or(1).max(1))
    }
}

/// Reads all arrays of a safetensors file.
pub fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = match view.dtype() {
            Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::I64 => view.data().chunks_exact(8).map(|b| long(b) as f32).collect(),
            Dtype::U8 => view.data().iter().map(|b| f32::from(*b)).collect(),
            other => bail!("{}: tensor {name} is stored as {other:?}", path.display()),
        };
        arrays.insert(name, Array { shape: view.shape().to_vec(), data });
    }
    Ok(arrays)
}

fn long(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | i64::from(*byte))
}

/// The weights of a component's folder: one safetensors file, or the shards in its index.
pub fn load_weights(folder: &Path, device: &Device) -> Result<Weights> {
    let mut tensors = BTreeMap::new();
    for path in weight_files(folder)? {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
        for (name, view) in file.tensors() {
            let shape = view.shape();
            let tensor = match view.dtype() {
                Dtype::F32 => Tensor::from_bytes(view.data(), DType::F32, shape, device)?,
                Dtype::F16 => Tensor::from_bytes(view.data(), DType::F16, shape, device)?,
                Dtype::BF16 => Tensor::from_bytes(view.data(), DType::Bf16, shape, device)?,
                Dtype::I64 => {
                    Tensor::from_ids(view.data().chunks_exact(8).map(|b| long(b) as u32).collect(), shape, device)?
                }
                other => bail!("{}: tensor {name} is stored as {other:?}", path.display()),
            };
            // Position embeddings may have four axes, too.
            let is_kernel = shape.len() == 4 && !name.ends_with("pos_embed");
            let tensor = if is_kernel { tensor.permute(&[0, 2, 3, 1])? } else { tensor };
            tensors.insert(name, tensor);
        }
    }
    Ok(Weights::new(folder.display().to_string(), tensors))
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let ends = |path: &&PathBuf, end: &str| path.to_string_lossy().ends_with(end);
    if let Some(index) = paths.iter().find(|path| ends(path, ".safetensors.index.json")) {
        let json = read_json(index)?;
        let map = json["weight_map"].as_object().ok_or_else(|| anyhow!("{}: no weight_map", index.display()))?;
        let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
        return Ok(names.into_iter().map(|name| folder.join(name)).collect());
    }
    let file = paths.iter().find(|path| ends(path, ".safetensors"));
    Ok(vec![file.ok_or_else(|| anyhow!("{}: no safetensors file", folder.display()))?.clone()])
}
