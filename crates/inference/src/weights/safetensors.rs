//! The safetensors format (<https://github.com/huggingface/safetensors>): the length of a JSON header as eight bytes,
//! the header, and the tensors without gaps.

use super::index::TensorIndex;
use super::malformed::Malformed;
use super::source::Source;
use super::view::{StoredType, TensorView};
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

/// The longest header that is read. The reference implementation has the same limit.
pub const MAX_HEADER: u64 = 100_000_000;

/// Bytes before the header: its length, little-endian.
const LENGTH_BYTES: u64 = 8;

/// The entry of the header that is not a tensor.
const METADATA: &str = "__metadata__";

/// The header of a safetensors file.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorView>,
    /// The strings under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads and checks a header: `bytes` is the beginning of a file of `file_length` bytes, including the whole header.
pub fn parse_header(bytes: &[u8], file_length: u64) -> Result<Header, Malformed> {
    let range = header_range(bytes, file_length)?;
    let end = usize::try_from(range.end).ok().filter(|end| *end <= bytes.len());
    let Some(end) = end else {
        return Err(Malformed(format!("the header ends at byte {}, but there are only {}", range.end, bytes.len())));
    };
    let raw: RawHeader = serde_json::from_slice(&bytes[LENGTH_BYTES as usize..end])
        .map_err(|error| Malformed(format!("the header is invalid: {error}")))?;
    check_cover(&raw.tensors, file_length - range.end)?;
    let view = |(name, raw): (String, RawTensor)| raw.view(&name, range.end).map(|view| (name, view));
    let tensors = raw.tensors.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Header { tensors, metadata: raw.metadata })
}

/// The place of the header, from the first bytes of the file.
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

/// Checks that the tensors cover every byte of the data exactly once.
fn check_cover(tensors: &BTreeMap<String, RawTensor>, data_length: u64) -> Result<(), Malformed> {
    let mut in_order: Vec<_> = tensors.iter().map(|(name, tensor)| (tensor.data_offsets, name)).collect();
    in_order.sort();
    let mut end = 0;
    let mut previous = "the header";
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

/// An entry of the header as it is in the file.
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

/// The header as it is in the file. A map that keeps the last of two equal names would hide damage.
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
            if name == METADATA {
                header.metadata = map.next_value()?;
                continue;
            }
            match header.tensors.entry(name) {
                Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format!("tensor {} is listed twice", entry.key())));
                }
                Entry::Vacant(entry) => {
                    let named = |error| A::Error::custom(format!("tensor {}: {error}", entry.key()));
                    let tensor = map.next_value().map_err(named)?;
                    entry.insert(tensor);
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::MemorySource;
    use pollster::block_on;
    use proptest::prelude::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn problem(header: &str, data: usize) -> String {
        let bytes = file(header, data);
        parse_header(&bytes, bytes.len() as u64).unwrap_err().0
    }

    fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    }

    #[test]
    fn a_good_header() {
        let a = entry("a", "F16", "[2,3]", "[0,12]");
        let b = entry("b", "I64", "[]", "[12,20]");
        let bytes = file(&format!(r#"{{"__metadata__":{{"format":"pt"}},{b},{a}}}  "#), 20);
        let header = parse_header(&bytes, bytes.len() as u64).unwrap();
        let start = bytes.len() as u64 - 20;
        assert_eq!(header.tensors["a"].range(), start..start + 12);
        assert_eq!(header.tensors["b"].dtype().name(), "I64");
        assert_eq!(header.metadata["format"], "pt");
        let index = block_on(open(Arc::new(MemorySource::new("x.safetensors", bytes)))).unwrap();
        assert_eq!((index.len(), index.bytes()), (2, 20));
    }

    #[test]
    fn every_problem_is_named() {
        let a = |shape, offsets| format!("{{{}}}", entry("a", "F32", shape, offsets));
        let b = |offsets| format!("{{{},{}}}", entry("a", "F32", "[2]", "[0,8]"), entry("b", "F32", "[1]", offsets));
        let cases = [
            (a("[2]", "[0,8]"), 4, "tensor a ends at byte 8 of the data, but there are 4: the file is cut off"),
            (a("[2]", "[8,0]"), 8, "tensor a ends at 0, before its start at 8"),
            (a("[2]", "[0,8]"), 9, "1 bytes after a, expected none"),
            (a("[2]", "[4,12]"), 12, "tensor a starts at 4, expected 0, where the header ends: there is a hole"),
            (a("[3]", "[0,8]"), 8, "tensor a has 8 bytes, expected 12 for F32 [3]"),
            (
                a("[4294967296,4294967296,2]", "[0,8]"),
                8,
                "tensor a has a shape too large to exist: [4294967296, 4294967296, 2]",
            ),
            (b("[4,8]"), 8, "tensor b starts at 4, inside a, which ends at 8"),
            (b("[12,16]"), 16, "tensor b starts at 12, expected 8, where a ends: there is a hole"),
            (format!("{{{}}}", entry("a", "F33", "[2]", "[0,8]")), 8, "tensor a has the unknown type \"F33\""),
        ];
        for (header, data, expected) in cases {
            assert_eq!(problem(&header, data), expected);
        }
    }

    #[test]
    fn invalid_headers_are_refused() {
        let twice = format!("{{{},{}}}", entry("a", "F32", "[1]", "[0,4]"), entry("a", "F32", "[1]", "[4,8]"));
        assert!(problem(&twice, 8).contains("tensor a is listed twice"), "{}", problem(&twice, 8));
        for (header, expected) in [
            (r#"{"a":{"dtype":"F32","shape":[1]}}"#, "tensor a: missing field `data_offsets`"),
            (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, "invalid value: integer `-1`"),
            (r#"{"a":"#, "EOF while parsing"),
            (r#"{"__metadata__":{"a":1}}"#, "expected a string"),
        ] {
            let text = problem(header, 4);
            assert!(text.starts_with("the header is invalid: ") && text.contains(expected), "{text}");
            assert_eq!(text.lines().count(), 1);
        }
        assert_eq!(problem("[1, 2]", 0), "not a safetensors file: expected a header that begins with {");
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let header = |length: u64, rest: &[u8], file_length| {
            let bytes: Vec<u8> = length.to_le_bytes().iter().chain(rest).copied().collect();
            parse_header(&bytes, file_length).unwrap_err().0
        };
        assert_eq!(parse_header(b"abc", 3).unwrap_err().0, "3 bytes long, expected a safetensors file of at least 8");
        assert_eq!(header(100, b"{}", 10), "a header of 100 bytes in a file of 10: the file is cut off");
        assert_eq!(header(MAX_HEADER + 1, b"{", 1 << 40), "a header of 100000001 bytes, expected at most 100000000");
        assert_eq!(
            header(u64::MAX, b"{", u64::MAX),
            format!("a header of {} bytes, expected at most 100000000", u64::MAX)
        );
        assert_eq!(header(50, b"{}", 100), "the header ends at byte 58, but there are only 10");
        let cut_off = MemorySource::new("x.safetensors", file("{}", 0)[..9].to_vec());
        let text = block_on(open(Arc::new(cut_off))).unwrap_err().to_string();
        assert_eq!(text, "x.safetensors: a header of 2 bytes in a file of 9: the file is cut off");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, length: u64) {
            let _ = parse_header(&bytes, length);
            let _ = parse_header(&bytes, bytes.len() as u64);
        }

        #[test]
        fn arbitrary_headers_do_not_panic(shape: Vec<u64>, start: u64, stop: u64, length: u64, dtype in "[A-Z0-9_]{1,8}") {
            let shape = format!("{shape:?}");
            for dtype in ["F32", "F4", &dtype] {
                let header = format!("{{{}}}", entry("a", dtype, &shape, &format!("[{start},{stop}]")));
                let _ = parse_header(&file(&header, 0), length);
                let _ = parse_header(&file(&header, 0), header.len() as u64 + 8 + stop.wrapping_sub(start));
            }
        }

        #[test]
        fn written_headers_are_read_back(sizes in prop::collection::vec((0_usize..4, 0_usize..4), 0..6)) {
            let mut entries = Vec::new();
            let mut end = 0;
            for (i, (rows, columns)) in sizes.iter().enumerate() {
                let bytes = rows * columns * 2;
                entries.push(entry(&format!("t{i}"), "BF16", &format!("[{rows},{columns}]"), &format!("[{end},{}]", end + bytes)));
                end += bytes;
            }
            let bytes = file(&format!("{{{}}}", entries.join(",")), end);
            let header = parse_header(&bytes, bytes.len() as u64).unwrap();
            prop_assert_eq!(header.tensors.len(), sizes.len());
            for (i, (rows, columns)) in sizes.into_iter().enumerate() {
                prop_assert_eq!(header.tensors[&format!("t{i}")].shape(), &[rows, columns][..]);
            }
        }
    }
}
