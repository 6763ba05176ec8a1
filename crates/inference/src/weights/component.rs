//! One component of a model: its configuration and its tensors, in a folder with the file names of diffusers and
//! transformers.

use super::files::Files;
use super::index::TensorIndex;
use super::source::read_all;
use super::stream;
use crate::weights::Weights;
use crate::{DType, Device, Error, Result, python_json};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The longest configuration or index that is read.
pub(crate) const MAX_DOCUMENT: u64 = 1 << 26;

/// The files of one tokenizer, unparsed.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles {
    /// The folder's name in errors: `tokenizer`.
    pub folder: String,
    /// The files of [`text::TokenizerFiles`](crate::text::TokenizerFiles) by name.
    pub files: BTreeMap<String, Bytes>,
}

impl TokenizerFiles {
    /// The bytes of a file.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|bytes| &bytes[..])
    }
}

/// The configuration and the tensors of one component. No tensor is read before [`weights`](Self::weights).
#[derive(Clone, Debug)]
pub struct ComponentFiles {
    /// The configuration's name in errors: a file, or where it was detected.
    pub config_file: String,
    /// The `config.json`, or an equivalent one for files without it.
    pub config: Value,
    /// The tensors under the names that the networks use: those of diffusers or transformers.
    pub tensors: TensorIndex,
    /// The chosen variant of the weight files, for example `fp16`.
    pub variant: Option<String>,
}

impl ComponentFiles {
    /// Opens the component in `folder` of `files` (empty for the top level): `config.json` and the weights, preferably
    /// of this variant.
    pub async fn open(files: &dyn Files, folder: &str, variant: Option<&str>) -> Result<Self> {
        let list = files.list().await?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let config = read_json(files, &format!("{prefix}config.json")).await?;
        let names: Vec<&str> = list.iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
        let Some(choice) = choose(&names, variant) else {
            let reason = "no weights (safetensors or PyTorch) in this folder";
            return Err(Error::format(format!("{}/{folder}", files.name()), reason));
        };
        let path = format!("{prefix}{}", choice.name);
        let tensors = if choice.name.ends_with(".json") {
            open_shards(files, &prefix, &path).await?
        } else {
            TensorIndex::open(files.open(&path).await?).await?
        };
        Ok(Self { config_file: format!("{prefix}config.json"), config, tensors, variant: choice.variant })
    }

    /// A component without a configuration file: `config` was derived from its tensors.
    pub(crate) fn detected(name: &str, tensors: TensorIndex, config: Value) -> Self {
        let config_file = format!("{}: detected {name} configuration", tensors.file());
        Self { config_file, config, tensors, variant: None }
    }

    /// The weights, each read when a network takes it. Its blocks are then read each time that they work: see
    /// [`Weights::part`]. The sources must be readable on any thread.
    ///
    /// # Errors
    /// [`Error::Invalid`] in a build without threads and files.
    pub fn streamed(&self, device: &Device, dtype: Option<DType>) -> Result<Weights> {
        stream::open(&self.tensors, device, dtype)
    }

    /// Loads the weights; see [`TensorIndex::load`].
    pub async fn weights(&self, device: &Device, dtype: Option<DType>) -> Result<Weights> {
        self.tensors.load(device, dtype).await
    }
}

/// The chosen weight file.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    name: String,
    variant: Option<String>,
}

/// The names of weight files in diffusers and transformers, without endings.
const STEMS: [&str; 3] = ["diffusion_pytorch_model", "model", "pytorch_model"];

/// The endings of the names, the preferred one first.
const ENDS: [&str; 2] = ["safetensors", "bin"];

/// Chooses the weights among the files of a folder: of the requested variant, else without variant, else of any variant
/// (`fp16` first); whole or in shards; safetensors before pickles.
fn choose(names: &[&str], variant: Option<&str>) -> Option<Choice> {
    let others: BTreeSet<&str> = names.iter().filter_map(|name| variant_of(name)).collect();
    let rest = ["fp16"].into_iter().chain(others).map(Some);
    let variants = variant.into_iter().map(Some).chain([None]).chain(rest);
    for variant in variants {
        let middle = variant.map(|variant| format!(".{variant}")).unwrap_or_default();
        for (end, stem) in ENDS.iter().flat_map(|end| STEMS.iter().map(move |stem| (end, stem))) {
            let candidates = [
                format!("{stem}{middle}.{end}"),
                format!("{stem}{middle}.{end}.index.json"),
                format!("{stem}.{end}.index{middle}.json"),
            ];
            if let Some(name) = candidates.into_iter().find(|name| names.contains(&name.as_str())) {
                return Some(Choice { name, variant: variant.map(str::to_owned) });
            }
        }
    }
    // A file with another name, if it is the only one.
    let weights: Vec<&&str> =
        names.iter().filter(|name| !name.contains('/') && name.ends_with(".safetensors")).collect();
    let [name] = weights[..] else { return None };
    Some(Choice { name: (*name).to_owned(), variant: None })
}

/// The variant in the name of a weight file or an index.
fn variant_of(name: &str) -> Option<&str> {
    let rest = STEMS.iter().find_map(|stem| name.strip_prefix(stem)?.strip_prefix('.'))?;
    let variant = match rest.strip_suffix(".json") {
        Some(index) => index.rsplit_once(".index.").map(|(_, variant)| variant).or_else(|| index.split('.').next()),
        None => rest.strip_suffix(".safetensors").or_else(|| rest.strip_suffix(".bin")),
    };
    variant.filter(|variant| !variant.is_empty() && !ENDS.contains(variant) && !variant.contains('.'))
}

/// The tensors of several files, according to `*.index.json`.
async fn open_shards(files: &dyn Files, prefix: &str, path: &str) -> Result<TensorIndex> {
    let file = format!("{}/{path}", files.name());
    let json = read_json(files, path).await?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| Error::format(&*file, "no weight_map, expected one with the shard of every tensor"))?;
    let mut shards: BTreeMap<&str, TensorIndex> = BTreeMap::new();
    let mut tensors = Vec::new();
    for (tensor, shard) in map {
        let shard = shard.as_str().filter(|name| !name.contains(['/', '\\'])).ok_or_else(|| {
            Error::format(
                &*file,
                format!("tensor {tensor} is in {shard}, expected the name of a file beside the index"),
            )
        })?;
        if !shards.contains_key(shard) {
            shards.insert(shard, TensorIndex::open(files.open(&format!("{prefix}{shard}")).await?).await?);
        }
        let found = shards.get(shard).is_some_and(|index| index.get(tensor).is_some());
        if !found {
            return Err(Error::format(&*file, format!("tensor {tensor} is missing from {shard}")));
        }
        tensors.push(tensor);
    }
    let wanted: BTreeSet<&String> = tensors.into_iter().collect();
    let mut whole = TensorIndex { file, sources: Vec::new(), tensors: BTreeMap::new(), training_step: None };
    for (name, mut index) in shards {
        index.tensors.retain(|tensor, _| wanted.contains(tensor) && map.get(tensor).is_some_and(|shard| shard == name));
        whole.extend(index);
    }
    Ok(whole)
}

/// Reads a small JSON file.
pub(crate) async fn read_json(files: &dyn Files, path: &str) -> Result<Value> {
    let source = files.open(path).await?;
    let bytes = read_all(&*source, MAX_DOCUMENT).await?;
    python_json::parse(&bytes).map_err(|error| Error::format(source.name(), format!("not valid JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], variant: Option<&str>) -> Option<(String, Option<String>)> {
        choose(names, variant).map(|choice| (choice.name, choice.variant))
    }

    #[test]
    fn the_variant_is_preferred_then_the_plain_file_then_any() {
        let both = [
            "config.json",
            "diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.safetensors",
        ];
        let fp16 = Some("fp16".to_owned());
        assert_eq!(chosen(&both, None), Some((both[3].into(), None)));
        assert_eq!(chosen(&both, Some("fp16")), Some((both[2].into(), fp16.clone())));
        assert_eq!(chosen(&both, Some("bf16")), Some((both[3].into(), None)));
        assert_eq!(chosen(&both[..3], None), Some((both[1].into(), None)));
        assert_eq!(chosen(&both[2..3], None), Some((both[2].into(), fp16)));
        assert_eq!(chosen(&both[..1], None), None);
        let odd = ["model.non_ema.safetensors"];
        assert_eq!(chosen(&odd, None), Some((odd[0].into(), Some("non_ema".into()))));
        assert_eq!(chosen(&["my.own.safetensors"], None), Some(("my.own.safetensors".into(), None)));
        assert_eq!(chosen(&["a.safetensors", "b.safetensors"], None), None);
    }

    #[test]
    fn all_spellings_of_shards_are_found() {
        let shard = "diffusion_pytorch_model-00001-of-00002.safetensors";
        for (index, variant) in [
            ("diffusion_pytorch_model.safetensors.index.json", None),
            ("diffusion_pytorch_model.fp16.safetensors.index.json", Some("fp16")),
            ("diffusion_pytorch_model.safetensors.index.fp16.json", Some("fp16")),
            ("model.safetensors.index.bf16.json", Some("bf16")),
            ("pytorch_model.bin.index.json", None),
        ] {
            let names = [shard, index, "diffusion_pytorch_model-00002-of-00002.safetensors"];
            assert_eq!(chosen(&names, None), Some((index.into(), variant.map(str::to_owned))), "{index}");
        }
    }
}
