//! PyTorch checkpoints (`torch/serialization.py`): the ZIP archive of today, and the stream of pickles before PyTorch 1.6.

use super::index::TensorIndex;
use super::malformed::Malformed;
use super::pickle::{self, Pickle, Storage, StoredTensor, Value};
use super::source::Source;
use super::view::{StoredType, TensorView};
use super::zip::Archive;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The longest pickle that is read. Those of Stable Diffusion have less than 1 MB.
const MAX_PICKLE: u64 = 1 << 26;

/// The number that the old format starts with, as pickle protocol 2 writes it.
const LEGACY_MAGIC: [u8; 14] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The version of the old format.
const LEGACY_PROTOCOL: i64 = 1001;

/// Where the bytes of a storage are.
struct Block {
    start: u64,
    bytes: u64,
}

/// Opens the ZIP archive that `torch.save` writes: `NAME/data.pkl` and one file for each storage, `NAME/data/KEY`.
pub(super) async fn open_zip(source: Arc<dyn Source>) -> Result<TensorIndex> {
    let file = source.name().to_owned();
    let archive = Archive::open(&*source).await?;
    let Some(root) = archive.names().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned) else {
        return Err(Error::format(file, "a ZIP archive without data.pkl, expected a PyTorch checkpoint"));
    };
    let order = format!("{root}byteorder");
    if archive.names().any(|name| name == order) {
        let range = archive.range(&order).await?;
        if range.end - range.start > 16 || &source.read(range).await?[..] != b"little" {
            return Err(Error::format(file, "stored in big-endian byte order, expected little-endian"));
        }
    }
    let range = archive.range(&format!("{root}data.pkl")).await?;
    if range.end - range.start > MAX_PICKLE {
        let reason = format!("data.pkl has {} bytes, expected at most {MAX_PICKLE}", range.end - range.start);
        return Err(Error::format(file, reason));
    }
    let pickle = parse(&file, &source.read(range).await?)?;
    let mut blocks = HashMap::new();
    for (_, tensor) in pickle.tensors() {
        let key = &tensor.storage.key;
        if !blocks.contains_key(key.as_str()) {
            let range = archive.range(&format!("{root}data/{key}")).await?;
            blocks.insert(key.as_str(), Block { start: range.start, bytes: range.end - range.start });
        }
    }
    let tensors = views(&file, &pickle, &blocks)?;
    Ok(TensorIndex { global_step: pickle.integer("global_step"), ..TensorIndex::new(source, tensors) })
}

/// Whether a file begins as the old format does.
pub(super) fn is_legacy(head: &[u8]) -> bool {
    head.starts_with(&LEGACY_MAGIC)
}

/// Opens the old format: the pickles of a magic number, a version, facts about the system, the object and the list of
/// storages, and then each storage as its length and its bytes.
pub(super) async fn open_legacy(source: Arc<dyn Source>) -> Result<TensorIndex> {
    let file = source.name().to_owned();
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await?;
    let mut at = 0;
    let mut next = || -> Result<Pickle> {
        let pickle = parse(&file, &bytes[at..])?;
        at += pickle.length;
        Ok(pickle)
    };
    let (_magic, protocol, _system, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if protocol.root() != &Value::Int(LEGACY_PROTOCOL) {
        return Err(Error::format(file, format!("not version {LEGACY_PROTOCOL} of PyTorch's old format")));
    }
    let storages: HashMap<&str, &Storage> = object.storages().map(|storage| (storage.key.as_str(), storage)).collect();
    let keys = keys.texts().ok_or_else(|| Error::format(&file, "the list of storages is no list of names"))?;
    let mut blocks = HashMap::new();
    let mut start = at as u64;
    for key in keys {
        let storage = storages.get(key).ok_or_else(|| Error::format(&file, format!("storage {key} has no type")))?;
        let block = legacy_block(&*source, start, storage).await?;
        start = block.start + block.bytes;
        blocks.insert(key, block);
    }
    let tensors = views(&file, &object, &blocks)?;
    Ok(TensorIndex { global_step: object.integer("global_step"), ..TensorIndex::new(source, tensors) })
}

/// A storage of the old format at byte `start`: the number of its elements, then those.
async fn legacy_block(source: &dyn Source, start: u64, storage: &Storage) -> Result<Block> {
    let cut_off = || Error::format(source.name(), format!("storage {} goes beyond the end of the file", storage.key));
    let data = start.checked_add(8).filter(|data| *data <= source.len()).ok_or_else(cut_off)?;
    let count = source.read(start..data).await?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    if count != storage.elements {
        let reason = format!("storage {} has {count} elements, expected {}", storage.key, storage.elements);
        return Err(Error::format(source.name(), reason));
    }
    let bytes = count.checked_mul(storage.dtype.bits()).map(|bits| bits.div_ceil(8)).ok_or_else(cut_off)?;
    let end = data.checked_add(bytes).filter(|end| *end <= source.len());
    end.map(|_| Block { start: data, bytes }).ok_or_else(cut_off)
}

fn parse(file: &str, bytes: &[u8]) -> Result<Pickle> {
    pickle::parse(bytes).map_err(|Malformed(reason)| Error::format(file, reason))
}

/// The tensors of a pickle as views of the blocks that hold their storages.
fn views(file: &str, pickle: &Pickle, blocks: &HashMap<&str, Block>) -> Result<BTreeMap<String, TensorView>> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in pickle.tensors() {
        let problem = |reason: String| Error::format(file, format!("tensor {name} {reason}"));
        let key = &tensor.storage.key;
        let block =
            blocks.get(key.as_str()).ok_or_else(|| problem(format!("is in storage {key}, which is missing")))?;
        let view = view(tensor, block).ok_or_else(|| problem("is too large to exist".into()))?;
        let (range, end) = (view.range(), block.start + block.bytes);
        if range.end > end {
            let reason = format!("ends {} bytes after its storage {key} of {} bytes", range.end - end, block.bytes);
            return Err(problem(reason));
        }
        tensors.insert(name.to_owned(), view);
    }
    Ok(tensors)
}

fn view(tensor: &StoredTensor, block: &Block) -> Option<TensorView> {
    let dtype: StoredType = tensor.storage.dtype;
    let offset = tensor.offset.checked_mul(dtype.bits())? / 8;
    TensorView::strided(dtype, tensor.shape.clone(), tensor.strides.clone(), block.start.checked_add(offset)?)
}
