//! PyTorch checkpoints (`torch/serialization.py`): today's ZIP archives, and the streams of pickles before PyTorch 1.6.

use super::index::TensorIndex;
use super::malformed::Malformed;
use super::pickle::{self, Pickle, Storage, StoredTensor, Value};
use super::source::Source;
use super::view::{StoredType, TensorView};
use super::zip::Archive;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The longest pickle that is read. Those of Stable Diffusion are shorter than 1 MB.
const MAX_PICKLE: u64 = 1 << 26;

/// The magic number of the old format, in pickle protocol 2.
const LEGACY_MAGIC: [u8; 14] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The version of the old format.
const LEGACY_PROTOCOL: i64 = 1001;

/// The location of a storage's bytes.
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
    Ok(TensorIndex { training_step: pickle.integer("global_step"), ..TensorIndex::new(source, tensors) })
}

/// Whether a file begins like the old format.
pub(super) fn is_legacy(head: &[u8]) -> bool {
    head.starts_with(&LEGACY_MAGIC)
}

/// Opens the old format: pickles of a magic number, a version, system information, the object and the list of storages,
/// followed by each storage as its length and its bytes.
pub(super) async fn open_legacy(source: Arc<dyn Source>) -> Result<TensorIndex> {
    let file = source.name().to_owned();
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await?;
    let mut at = 0;
    let mut next = || -> Result<Pickle> {
        let pickle = parse(&file, &bytes[at..])?;
        at += pickle.length;
        Ok(pickle)
    };
    let _magic = next()?;
    let protocol = next()?;
    let _system = next()?;
    let object = next()?;
    let keys = next()?;
    if protocol.root() != &Value::Int(LEGACY_PROTOCOL) {
        return Err(Error::format(file, format!("not version {LEGACY_PROTOCOL} of PyTorch's old format")));
    }
    let storages: HashMap<&str, &Storage> = object.storages().map(|storage| (storage.key.as_str(), storage)).collect();
    let keys = keys.texts().ok_or_else(|| Error::format(&file, "the list of storages is not a list of names"))?;
    let mut blocks = HashMap::new();
    let mut start = at as u64;
    for key in keys {
        let storage = storages.get(key).ok_or_else(|| Error::format(&file, format!("storage {key} has no type")))?;
        let block = legacy_block(&*source, start, storage).await?;
        start = block.start + block.bytes;
        blocks.insert(key, block);
    }
    let tensors = views(&file, &object, &blocks)?;
    Ok(TensorIndex { training_step: object.integer("global_step"), ..TensorIndex::new(source, tensors) })
}

/// A storage of the old format at byte `start`: the number of its elements, followed by the elements.
async fn legacy_block(source: &dyn Source, start: u64, storage: &Storage) -> Result<Block> {
    let cut_off =
        || Error::format(source.name(), format!("storage {} extends beyond the end of the file", storage.key));
    let data = start.checked_add(8).filter(|data| *data <= source.len()).ok_or_else(cut_off)?;
    let count = source.read(start..data).await?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    if count != storage.elements {
        let reason = format!("storage {} has {count} elements, expected {}", storage.key, storage.elements);
        return Err(Error::format(source.name(), reason));
    }
    let bytes = storage.dtype.bytes_of(count).ok_or_else(cut_off)?;
    let end = data.checked_add(bytes).filter(|end| *end <= source.len());
    end.map(|_| Block { start: data, bytes }).ok_or_else(cut_off)
}

fn parse(file: &str, bytes: &[u8]) -> Result<Pickle> {
    pickle::parse(bytes).map_err(|Malformed(reason)| Error::format(file, reason))
}

/// The tensors of a pickle as views of the blocks with their storages.
fn views(file: &str, pickle: &Pickle, blocks: &HashMap<&str, Block>) -> Result<BTreeMap<String, TensorView>> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in pickle.tensors() {
        let problem = |reason: String| Error::format(file, format!("tensor {name} {reason}"));
        let key = &tensor.storage.key;
        let block =
            blocks.get(key.as_str()).ok_or_else(|| problem(format!("is in storage {key}, which is missing")))?;
        let view = view(tensor, block).ok_or_else(|| problem("is too large to exist".into()))?;
        let range = view.range();
        let end = block.start + block.bytes;
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
    let offset = dtype.bytes_of(tensor.offset)?;
    TensorView::strided(dtype, tensor.shape.clone(), tensor.strides.clone(), block.start.checked_add(offset)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::MemorySource;
    use crate::weights::zip::tests::archive;
    use pollster::block_on;

    /// `{"a": tensor of [2] in storage "0" with `elements`}`.
    fn dictionary(elements: u8, legacy: bool) -> Vec<u8> {
        let view = if legacy { "N" } else { "" };
        let tensor = format!(
            "ctorch._utils\n_rebuild_tensor_v2\n((\u{1}ctorch\nFloatStorage\n\u{2}\u{3}K\u{4}{view}tQK\0(K\u{5}t(K\u{6}tN)tR"
        );
        let mut bytes = b"\x80\x02}X\x01\0\0\0a".to_vec();
        for byte in tensor.bytes() {
            match byte {
                1 => bytes.extend(b"X\x07\0\0\0storage"),
                2 => bytes.extend(b"X\x01\0\0\x000"),
                3 => bytes.extend(b"X\x03\0\0\0cpu"),
                4 => bytes.push(elements),
                5 => bytes.push(2),
                6 => bytes.push(1),
                byte => bytes.push(byte),
            }
        }
        bytes.extend(b"s.");
        bytes
    }

    fn zip(files: &[(&str, &[u8])]) -> Result<TensorIndex> {
        block_on(TensorIndex::open(Arc::new(MemorySource::new("x.ckpt", archive(files, false)))))
    }

    fn legacy(protocol: &[u8], keys: &[u8], storages: &[u8]) -> Result<TensorIndex> {
        let bytes = [&LEGACY_MAGIC[..], b".", protocol, b"\x80\x02}.", &dictionary(2, true), keys, storages].concat();
        block_on(TensorIndex::open(Arc::new(MemorySource::new("x.pt", bytes))))
    }

    const PROTOCOL: &[u8] = b"\x80\x02M\xe9\x03.";
    const KEYS: &[u8] = b"\x80\x02]X\x01\0\0\x000a.";

    #[test]
    fn both_formats_give_views() {
        let two = dictionary(2, false);
        let index = zip(&[("x/data.pkl", &two), ("x/byteorder", b"little"), ("x/data/0", &[7; 8])]).unwrap();
        assert_eq!((index.get("a").unwrap().shape(), index.bytes()), (&[2][..], 8));
        let index = legacy(PROTOCOL, KEYS, &[&[2, 0, 0, 0, 0, 0, 0, 0][..], &[7; 8]].concat()).unwrap();
        assert_eq!((index.get("a").unwrap().shape(), index.bytes()), (&[2][..], 8));
    }

    #[test]
    fn every_problem_of_an_archive_is_named() {
        let two = dictionary(2, false);
        let problem = |files: &[(&str, &[u8])]| zip(files).unwrap_err().to_string();
        let data: (&str, &[u8]) = ("x/data.pkl", &two);
        let cases = [
            (problem(&[("readme", b"")]), "a ZIP archive without data.pkl, expected a PyTorch checkpoint"),
            (problem(&[data]), "x/data/0 is missing from the archive"),
            (problem(&[data, ("x/data/0", &[0; 7])]), "tensor a ends 1 bytes after its storage 0 of 7 bytes"),
            (problem(&[data, ("x/byteorder", b"big")]), "stored in big-endian byte order, expected little-endian"),
            (problem(&[("x/data.pkl", b"}")]), "the pickle is cut off at byte 1"),
            (problem(&[("x/data.pkl", b"cos\nsystem\n.")]), "refers to os.system, which is not allowed in checkpoints"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, format!("x.ckpt: {expected}"));
        }
        let long = vec![0; MAX_PICKLE as usize + 1];
        assert!(problem(&[("x/data.pkl", &long)]).ends_with("data.pkl has 67108865 bytes, expected at most 67108864"));
    }

    #[test]
    fn every_problem_of_the_old_format_is_named() {
        let problem = |protocol, keys, storages| legacy(protocol, keys, storages).unwrap_err().to_string();
        let cases = [
            (problem(b"\x80\x02K\x07.", KEYS, b""), "not version 1001 of PyTorch's old format"),
            (problem(PROTOCOL, b"K\x01.", b""), "the list of storages is not a list of names"),
            (problem(PROTOCOL, b"]X\x01\0\0\x009a.", b""), "storage 9 has no type"),
            (problem(PROTOCOL, b"].", b""), "tensor a is in storage 0, which is missing"),
            (problem(PROTOCOL, KEYS, b"1234"), "storage 0 extends beyond the end of the file"),
            (problem(PROTOCOL, KEYS, &[3, 0, 0, 0, 0, 0, 0, 0]), "storage 0 has 3 elements, expected 2"),
            (problem(PROTOCOL, KEYS, &[2, 0, 0, 0, 0, 0, 0, 0, 1]), "storage 0 extends beyond the end of the file"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, format!("x.pt: {expected}"));
        }
    }
}
