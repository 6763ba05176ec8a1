//! GGUF, versions 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): key-values, a table of tensors,
//! their data. Files as llama.cpp, stable-diffusion.cpp and ComfyUI-GGUF write them.
//!
//! ggml lists the sizes of a tensor from the fastest axis on; here they are in the order of all other formats. ComfyUI's
//! files also have tensors in another shape than the model's, so that their rows hold whole blocks: a key-value
//! `comfy.gguf.orig_shape.NAME` says what it was.
//!
//! Nothing in a file is believed: every length, count and offset is compared with what the file has left before anything is
//! taken or looped over. `reader` takes the header apart, `tensors` makes views and checks where they lie, `write`
//! makes headers, `convert` whole files.

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

/// The longest header that is read: the vocabularies of large language models take some megabytes.
pub const MAX_HEADER: u64 = 100_000_000;

/// The first bytes of every file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// Where data starts, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;

/// What the header of a GGUF file says.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorView>,
    /// The key-values, without long texts and lists.
    pub metadata: BTreeMap<String, Value>,
}

/// Reads and checks a header: `bytes` is the beginning of a file of `file_length` bytes, up to the header's end at least.
pub fn parse_header(bytes: &[u8], file_length: u64) -> Result<Header, Malformed> {
    parse(bytes, file_length).map_err(|problem| match problem {
        Problem::Malformed(malformed) => malformed,
        Problem::Short { needed } => {
            Malformed(format!("the header ends at byte {needed} or later, but only {} are there", bytes.len()))
        }
    })
}

fn parse(bytes: &[u8], file_length: u64) -> Result<Header, Problem> {
    let mut reader = Reader::new(bytes, file_length);
    if reader.take(4, "the first bytes")? != MAGIC {
        return Err(Problem::new("not a GGUF file: expected GGUF at its beginning"));
    }
    match reader.u32("the version")? {
        2 | 3 => {}
        version if version.swap_bytes() < 16 && version != 0 && version > 0xffff => {
            return Err(Problem::new("a big-endian GGUF file, expected a little-endian one"));
        }
        version => return Err(Problem::new(format!("GGUF version {version}, expected 2 or 3"))),
    }
    let tensor_count = reader.u64("the number of tensors")?;
    let value_count = reader.u64("the number of key-values")?;
    reader.check_count(value_count, reader::LEAST_VALUE, "key-values")?;
    let mut metadata = BTreeMap::new();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..value_count {
        let key = reader.text("a key", reader::MAX_NAME)?;
        if !keys.insert(key.clone()) {
            return Err(Problem::new(format!("key {} is there twice", key.escape_debug())));
        }
        if let Some(value) = reader.value(&key)? {
            metadata.insert(key, value);
        }
    }
    reader.check_count(tensor_count, tensors::LEAST_ENTRY, "tensors")?;
    let tensors = tensors::read(&mut reader, tensor_count, &metadata)?;
    Ok(Header { tensors, metadata })
}

/// Opens a file. Its header's length is nowhere written: more is read until it is whole.
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
                return Err(malformed(format!("a header of more than {MAX_HEADER} bytes, expected fewer")));
            }
            Err(Problem::Short { needed }) => wanted = needed.max(2 * wanted),
        }
    }
}
