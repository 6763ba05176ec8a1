//! The safetensors format (<https://github.com/huggingface/safetensors>): the length of a JSON header as eight bytes, the
//! header, the tensors one after the other without gaps.

use super::index::TensorIndex;
use super::malformed::Malformed;
use super::source::Source;
use super::view::{StoredType, TensorView};
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The longest header that is read. The reference implementation has the same limit.
pub const MAX_HEADER: u64 = 100_000_000;

/// Bytes before the header: its length, little-endian.
const LENGTH_BYTES: u64 = 8;

/// What the header of a safetensors file says.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorView>,
    /// The texts under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads and checks a header: `bytes` is the beginning of a file of `file_length` bytes, up to the header's end at least.
pub fn parse_header(bytes: &[u8], file_length: u64) -> Result<Header, Malformed> {
    let range = header_range(bytes, file_length)?;
    let end = usize::try_from(range.end).ok().filter(|end| *end <= bytes.len());
    let Some(end) = end else {
        return Err(Malformed(format!("the header ends at byte {}, but only {} are there", range.end, bytes.len())));
    };
    let raw: RawHeader = serde_json::from_slice(&bytes[LENGTH_BYTES as usize..end])
        .map_err(|error| Malformed(format!("the header is not what it should be: {error}")))?;
    check_cover(&raw.tensors, file_length - range.end)?;
    let view = |(name, raw): (String, RawTensor)| raw.view(&name, range.end).map(|view| (name, view));
    let tensors = raw.tensors.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Header { tensors, metadata: raw.metadata })
}

/// Where the header lies, by the first bytes of the file.
fn header_range(bytes: &[u8], file_length: u64) -> Result<Range<u64>, Malformed> {
    let Some(length) = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return Err(Malformed(format!("{file_length} bytes long, expected a safetensors file of at least 8")));
    };
    if bytes.get(LENGTH_BYTES as usize).is_some_and(|first| *first != b'{') {
        return Err(Malformed("not a safetensors file: expected a header that begins with {".into()));
    }
    if length > MAX_HEADER {
        return Err(Malformed(format!("a header of {length} bytes, expected at most {MAX_HEADER}")));
    }
    if length + LENGTH_BYTES > file_length {
        return Err(Malformed(format!("a header of {length} bytes in a file of {file_length}: the file is cut off")));
    }
    Ok(LENGTH_BYTES..LENGTH_BYTES + length)
}

/// The tensors must cover the data from its first byte to its last, each byte once.
fn check_cover(tensors: &BTreeMap<String, RawTensor>, data_length: u64) -> Result<(), Malformed> {
    let mut in_order: Vec<_> = tensors.iter().map(|(name, tensor)| (tensor.data_offsets, name)).collect();
    in_order.sort();
    let (mut end, mut previous) = (0, "the header");
    for ((start, stop), name) in in_order {
        let problem = if stop < start {
            format!("ends at {stop}, before its start at {start}")
        } else if stop > data_length {
            format!("ends at byte {stop} of the data, but there are {data_length}: the file is cut off")
        } else if start < end {
            format!("starts at {start}, inside {previous}, which ends at {end}")
        } else if start > end {
            format!("starts at {start}, expected {end}, where {previous} ends: there is a hole")
        } else {
            (end, previous) = (stop, name);
            continue;
        };
        return Err(Malformed(format!("tensor {name} {problem}")));
    }
    if end < data_length {
        return Err(Malformed(format!("{} bytes after {previous}, expected none", data_length - end)));
    }
    Ok(())
}

/// One entry of the header as it is written.
#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawTensor {
    /// The entry as a view; the data starts at byte `data` of the file.
    fn view(self, name: &str, data: u64) -> Result<TensorView, Malformed> {
        let Some(dtype) = StoredType::from_name(&self.dtype) else {
            return Err(Malformed(format!("tensor {name} has the unknown type {:?}", self.dtype)));
        };
        let (start, stop) = self.data_offsets;
        let shape = self.shape.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<_>>>();
        let view = shape.and_then(|shape| TensorView::new(dtype, shape, data.checked_add(start)?));
        match view {
            None => Err(Malformed(format!("tensor {name} has a shape too large to exist: {:?}", self.shape))),
            Some(view) if view.bytes() != stop - start => Err(Malformed(format!(
                "tensor {name} has {} bytes, expected {} for {} {:?}",
                stop - start,
                view.bytes(),
                self.dtype,
                self.shape
            ))),
            Some(view) => Ok(view),
        }
    }
}

/// The header as it is written. A map that keeps the last of two equal names would hide a damaged file.
#[derive(Default)]
struct RawHeader {
    tensors: BTreeMap<String, RawTensor>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value()?;
            } else if header.tensors.contains_key(&name) {
                return Err(A::Error::custom(format!("tensor {name} is there twice")));
            } else {
                let tensor = map.next_value().map_err(|error| A::Error::custom(format!("tensor {name}: {error}")))?;
                header.tensors.insert(name, tensor);
            }
        }
        Ok(header)
    }
}

/// Opens a file.
pub(super) async fn open(source: Arc<dyn Source>) -> Result<TensorIndex> {
    let malformed = |problem: Malformed| Error::format(source.name(), problem.0);
    let length = source.len();
    let start = source.read(0..length.min(LENGTH_BYTES + 1)).await?;
    let range = header_range(&start, length).map_err(malformed)?;
    let header = parse_header(&source.read(0..range.end).await?, length).map_err(malformed)?;
    Ok(TensorIndex::new(source, header.tensors))
}
