//! GGUF, versions 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): key-value pairs, a table of
//! tensors, their data. Files like those of llama.cpp, stable-diffusion.cpp and ComfyUI-GGUF.
//!
//! ggml lists the sizes of a tensor from the fastest axis to the slowest; here they are in the order of all other
//! formats. ComfyUI's files may also have tensors in another shape than the model's, so that their rows hold whole
//! blocks: the key `comfy.gguf.orig_shape.NAME` then has the original shape.
//!
//! Nothing in a file is trusted: every length, count and offset is compared with the rest of the file before anything
//! is allocated or iterated. `reader` parses the header, `tensors` makes views and checks their places, `write` writes
//! headers, `convert` whole files.

mod convert;
mod reader;
mod tensors;
#[cfg(test)]
mod tests;
mod write;

use super::index::TensorIndex;
use super::malformed::Malformed;
use super::source::Source;
use super::view::TensorView;
use crate::{Error, Result};
use reader::{Problem, Reader};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use convert::{Conversion, Sink};
pub use reader::Value;
pub use write::{TensorInfo, write_header};

/// The longest header that is read: the vocabularies of large language models take several megabytes.
pub const MAX_HEADER: u64 = 100_000_000;

/// The first bytes of every file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// The alignment of data, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;

/// The header of a GGUF file.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorView>,
    /// The key-value pairs, without long strings and lists.
    pub metadata: BTreeMap<String, Value>,
}

/// Reads and checks a header: `bytes` is the beginning of a file of `file_length` bytes, including the whole header.
pub fn parse_header(bytes: &[u8], file_length: u64) -> Result<Header, Malformed> {
    parse(bytes, file_length).map_err(|problem| match problem {
        Problem::Malformed(malformed) => malformed,
        Problem::Short { needed } => {
            Malformed(format!("the header ends at byte {needed} or later, but there are only {}", bytes.len()))
        }
    })
}

fn parse(bytes: &[u8], file_length: u64) -> Result<Header, Problem> {
    let mut reader = Reader::new(bytes, file_length);
    if reader.take(4, "the first bytes")? != MAGIC {
        return Err(Problem::new("not a GGUF file: expected it to begin with GGUF"));
    }
    match reader.u32("the version")? {
        2 | 3 => {}
        version if version.swap_bytes() < 16 && version != 0 && version > 0xffff => {
            return Err(Problem::new("a big-endian GGUF file, expected a little-endian one"));
        }
        version => return Err(Problem::new(format!("GGUF version {version}, expected 2 or 3"))),
    }
    let tensor_count = reader.u64("the number of tensors")?;
    let value_count = reader.u64("the number of key-value pairs")?;
    reader.check_count(value_count, reader::LEAST_VALUE, "key-value pairs")?;
    let mut metadata = BTreeMap::new();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..value_count {
        let key = reader.text("a key", reader::MAX_NAME)?;
        if !keys.insert(key.clone()) {
            return Err(Problem::new(format!("key {} is listed twice", key.escape_debug())));
        }
        if let Some(value) = reader.value(&key)? {
            metadata.insert(key, value);
        }
    }
    reader.check_count(tensor_count, tensors::LEAST_ENTRY, "tensors")?;
    let tensors = tensors::read(&mut reader, tensor_count, &metadata)?;
    Ok(Header { tensors, metadata })
}

/// Opens a file. The length of the header is not stored, so more is read until the header is complete.
pub(super) async fn open(source: Arc<dyn Source>) -> Result<TensorIndex> {
    const FIRST: u64 = 1 << 20;
    let malformed = |problem: String| Error::format(source.name(), problem);
    let length = source.len();
    let mut wanted = FIRST;
    loop {
        let end = wanted.min(length).min(MAX_HEADER);
        match parse(&source.read(0..end).await?, length) {
            Ok(header) => return Ok(TensorIndex::new(source, header.tensors)),
            Err(Problem::Malformed(problem)) => return Err(malformed(problem.0)),
            Err(Problem::Short { .. }) if end == length => return Err(malformed("the header is cut off".into())),
            Err(Problem::Short { .. }) if end == MAX_HEADER => {
                return Err(malformed(format!(
                    "the header is longer than {MAX_HEADER} bytes, the most that is supported"
                )));
            }
            Err(Problem::Short { needed }) => wanted = needed.max(2 * wanted),
        }
    }
}
