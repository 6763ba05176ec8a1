//! Valid and invalid GGUF headers.

use super::*;
use crate::tensor::BlockFormat;
use crate::weights::view::StoredType;
use crate::weights::{BoxFuture, MemorySource};
use bytes::Bytes;
use pollster::block_on;
use proptest::prelude::*;
use std::ops::Range;

/// A header assembled by hand.
#[derive(Clone)]
struct Draft {
    version: u32,
    tensor_count: Option<u64>,
    value_count: Option<u64>,
    values: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

impl Draft {
    fn new(tensors: &[Vec<u8>], data: usize) -> Self {
        let tensors = tensors.to_vec();
        Self { version: 3, tensor_count: None, value_count: None, values: Vec::new(), tensors, data }
    }

    fn with(mut self, value: Vec<u8>) -> Self {
        self.values.push(value);
        self
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.value_count.unwrap_or(self.values.len() as u64).to_le_bytes());
        bytes.extend(self.values.concat());
        bytes.extend(self.tensors.concat());
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }

    fn problem(&self) -> String {
        let bytes = self.bytes();
        let problem = parse_header(&bytes, bytes.len() as u64).unwrap_err().0;
        assert_eq!(problem.lines().count(), 1);
        problem
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn value(key: &str, kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&text(key), &kind.to_le_bytes()[..], bytes].concat()
}

fn list(kind: u32, count: u64, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat()
}

/// An entry, with sizes from the fastest axis to the slowest.
fn tensor(name: &str, sizes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((sizes.len() as u32).to_le_bytes());
    sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn a_good_header() {
    let tensors = [tensor("a", &[64, 3], 2, 0), tensor("b", &[2], 0, 128), tensor("k", &[256, 9], 12, 160)];
    let draft = Draft::new(&tensors, 160 + 9 * 144)
        .with(value("general.architecture", 8, &text("sd1")))
        .with(value("general.alignment", 4, &32_u32.to_le_bytes()))
        .with(value("least", 1, &[0xff]))
        .with(value("half", 6, &0.5_f32.to_le_bytes()))
        .with(value("words", 9, &list(8, 2, &[text("x"), text("yz")].concat())))
        .with(value("lists", 9, &list(9, 1, &list(0, 3, &[1, 2, 3]))))
        .with(value("comfy.gguf.orig_shape.k", 9, &list(5, 4, &[4_i32, 64, 3, 3].map(i32::to_le_bytes).concat())));
    let bytes = draft.bytes();
    let header = parse_header(&bytes, bytes.len() as u64).unwrap();
    let data = bytes.len() as u64 - 160 - 9 * 144;
    let a = &header.tensors["a"];
    assert_eq!((a.shape(), a.range(), a.dtype().name()), (&[3, 64][..], data..data + 108, "Q4_0"));
    assert_eq!(header.tensors["b"].range(), data + 128..data + 136);
    assert_eq!((header.tensors["k"].shape(), header.tensors["k"].bytes()), (&[4, 64, 3, 3][..], 9 * 144));
    assert_eq!(header.metadata["general.architecture"], Value::Text("sd1".into()));
    assert_eq!((&header.metadata["least"], &header.metadata["half"]), (&Value::Integer(-1), &Value::Float(0.5)));
    assert_eq!(header.metadata.get("words"), None);
    let older = Draft { version: 2, ..draft }.bytes();
    assert_eq!(parse_header(&older, older.len() as u64).unwrap().tensors.len(), 3);
    let index = block_on(TensorIndex::open(Arc::new(MemorySource::new("x.gguf", bytes)))).unwrap();
    assert_eq!((index.len(), index.bytes()), (3, 108 + 8 + 9 * 144));
}

#[test]
fn every_problem_of_a_tensor_is_named() {
    let one = |entry: Vec<u8>| Draft::new(&[entry], 64).problem();
    let two = |first: Vec<u8>, second: Vec<u8>| Draft::new(&[first, second], 64).problem();
    let huge = 1 << 40;
    let cases = [
        (one(tensor("a", &[8], 0, 4)), "tensor a starts at byte 4 of the data, expected a multiple of 32"),
        (
            one(tensor("a", &[17], 0, 0)),
            "tensor a has 68 bytes from byte 0 of the data, which has 64: the file is cut off",
        ),
        (
            one(tensor("a", &[8], 0, u64::MAX - 31)),
            "tensor a has 32 bytes from byte 18446744073709551584 of the data, which",
        ),
        (
            one(tensor("a", &[huge, huge], 0, 0)),
            "tensor a has a shape too large to exist: [1099511627776, 1099511627776]",
        ),
        (one(tensor("a", &[1; 5], 0, 0)), "tensor a has 5 axes, expected at most 4"),
        (one(tensor("a", &[8], 16, 0)), "tensor a has unsupported type 16, expected F32, F16, BF16, Q4_0, Q4_1,"),
        (
            one(tensor("a", &[48], 2, 0)),
            "tensor a has rows of 48 elements, expected a multiple of 32, the length of a block of Q4_0",
        ),
        (one(tensor("a", &[], 12, 0)), "tensor a has rows of 1 elements, expected a multiple of 256"),
        (
            two(tensor("a", &[9], 0, 0), tensor("b", &[1], 0, 32)),
            "tensor b starts at byte 32 of the data, inside tensor a, which ends at 36",
        ),
        (two(tensor("a", &[1], 0, 0), tensor("a", &[1], 0, 32)), "tensor a is listed twice"),
        (one(tensor("a\nb", &[1], 0, 1)), "tensor a\\nb starts at byte 1"),
        (one(tensor(&"a".repeat(1025), &[1], 0, 0)), "the name of a tensor has 1025 bytes, expected at most 1024"),
    ];
    for (problem, expected) in cases {
        assert!(problem.starts_with(expected), "{problem}");
    }
    let shape = value("comfy.gguf.orig_shape.a", 9, &list(4, 2, &[2_u32, 3].map(u32::to_le_bytes).concat()));
    let problem = Draft::new(&[tensor("a", &[8], 0, 0)], 64).with(shape).problem();
    assert_eq!(
        problem,
        "tensor a of shape [8] has the original shape Integers([2, 3]), expected the same number of elements"
    );
}

#[test]
fn every_problem_of_a_header_is_named() {
    let none = Draft::new(&[], 64);
    let with = |entry: Vec<u8>| none.clone().with(entry).problem();
    let nested = (0..5).fold(Vec::new(), |inner, _| list(9, u64::from(!inner.is_empty()), &inner));
    let cases = [
        (Draft { version: 1, ..none.clone() }.problem(), "GGUF version 1, expected 2 or 3"),
        (Draft { version: 3 << 24, ..none.clone() }.problem(), "a big-endian GGUF file, expected a little-endian one"),
        (
            Draft { value_count: Some(1 << 60), ..none.clone() }.problem(),
            "1152921504606846976 key-value pairs do not fit into the",
        ),
        (
            Draft { tensor_count: Some(u64::MAX), ..none.clone() }.problem(),
            "18446744073709551615 tensors do not fit into the",
        ),
        (with(value("k", 13, &[])), "key k has a value of unknown type 13, expected 0 to 12"),
        (with(value("k", 8, &u64::MAX.to_le_bytes())), "key k takes 18446744073709551615 bytes, but the file has"),
        (with(value("k", 9, &list(4, 1 << 62, &[]))), "4611686018427387904 entries of key k do not fit into the"),
        (with(value("k", 9, &list(8, 1 << 62, &[]))), "4611686018427387904 entries of key k do not fit into the"),
        (
            with(value("k", 9, &list(8, 2, &[text("x"), vec![0xff; 8]].concat()))),
            "key k takes 18446744073709551615 bytes",
        ),
        (with(value("k", 9, &list(14, 1, &[0; 16]))), "key k has a list of unknown type 14, expected 0 to 12"),
        (with(value("k", 9, &nested)), "key k has lists nested more than 4 deep"),
        (with(u64::MAX.to_le_bytes().to_vec()), "a key has 18446744073709551615 bytes, expected at most 1024"),
        (with([&2_u64.to_le_bytes()[..], &[0xff, b'a', 0, 0, 0, 0, 0]].concat()), "a key is not UTF-8: \\xffa"),
        (
            with(value("general.alignment", 4, &3_u32.to_le_bytes())),
            "general.alignment is Integer(3), expected a power of two up to 65536",
        ),
        (
            with(value("general.alignment", 4, &0_u32.to_le_bytes())),
            "general.alignment is Integer(0), expected a power of two",
        ),
        (none.clone().with(value("k", 0, &[1])).with(value("k", 0, &[1])).problem(), "key k is listed twice"),
    ];
    for (problem, expected) in cases {
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert_eq!(parse_header(b"GGML", 4).unwrap_err().0, "not a GGUF file: expected it to begin with GGUF");
    assert_eq!(
        parse_header(b"GG", 2).unwrap_err().0,
        "the first bytes takes 4 bytes, but the file has 2 left: it is cut off"
    );
    let bytes = none.with(value("k", 4, &[0; 4])).header();
    assert!(parse_header(&bytes[..20], 1000).unwrap_err().0.starts_with("the header ends at byte 24 or later"));
}

#[test]
fn a_file_that_ends_anywhere_is_an_error() {
    let draft = Draft::new(&[tensor("a", &[64, 3], 2, 0)], 108).with(value("k", 8, &text("some text")));
    let bytes = draft.bytes();
    assert!(parse_header(&bytes, bytes.len() as u64).is_ok());
    for end in 0..bytes.len() {
        assert!(parse_header(&bytes[..end], end as u64).is_err(), "{end}");
        let source = MemorySource::new("x.gguf", bytes[..end].to_vec());
        let problem = block_on(open(Arc::new(source))).unwrap_err().to_string();
        assert!(problem.starts_with("x.gguf: ") && problem.lines().count() == 1, "{problem}");
    }
}

/// A file whose header never ends.
struct Endless;

impl Source for Endless {
    fn name(&self) -> &str {
        "endless.gguf"
    }

    fn len(&self) -> u64 {
        1 << 40
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let words = value("k", 9, &list(8, 1 << 33, &[]));
        let mut bytes = Draft::new(&[], 0).with(words).header();
        bytes.resize(range.end as usize, 0);
        Box::pin(std::future::ready(Ok(bytes.into())))
    }
}

#[test]
fn reading_an_endless_header_stops() {
    let problem = block_on(open(Arc::new(Endless))).unwrap_err().to_string();
    assert_eq!(problem, "endless.gguf: the header is longer than 100000000 bytes, the most that is supported");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, length: u64) {
        let bytes = [&b"GGUF\x03\0\0\0"[..], &bytes].concat();
        let _ = parse_header(&bytes, length);
        let _ = parse_header(&bytes, bytes.len() as u64);
    }

    #[test]
    fn arbitrary_tables_do_not_panic(sizes: Vec<u64>, kind in 0_u32..32, offset: u64, at in 0_usize..200, with: u8, length: u64) {
        let draft = Draft::new(&[tensor("a", &sizes, kind, offset), tensor("b", &[32], kind, 0)], 64)
            .with(value("comfy.gguf.orig_shape.a", 9, &list(10, 1, &offset.to_le_bytes())));
        let mut bytes = draft.bytes();
        let _ = parse_header(&bytes, bytes.len() as u64);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        let _ = parse_header(&bytes, bytes.len() as u64);
        let _ = parse_header(&bytes, length);
    }

    #[test]
    fn written_headers_are_read_back(shapes in prop::collection::vec((0_usize..4, 1_usize..3, 0_usize..14), 0..6)) {
        let types: Vec<StoredType> = [StoredType::F32, StoredType::F16].into_iter()
            .chain(BlockFormat::ALL.iter().map(|format| StoredType::Blocks(*format))).collect();
        let tensors: Vec<TensorInfo> = shapes.iter().enumerate().map(|(i, (rows, columns, dtype))| TensorInfo {
            name: format!("t{i}"),
            dtype: types[*dtype],
            shape: vec![*rows, 256 * columns],
        }).collect();
        let bytes = write_header(&[("general.architecture", "sd1")], &tensors).unwrap();
        let data = bytes.len() as u64;
        let length = data + tensors.iter().map(|tensor| tensor.padded().unwrap()).sum::<u64>();
        let header = parse_header(&bytes, length).unwrap();
        prop_assert_eq!(header.tensors.len(), tensors.len());
        let mut start = data;
        for tensor in &tensors {
            let view = &header.tensors[&tensor.name];
            prop_assert_eq!((view.shape(), view.dtype()), (&tensor.shape[..], tensor.dtype));
            prop_assert_eq!(view.range(), start..start + tensor.bytes().unwrap());
            start += tensor.padded().unwrap();
        }
    }
}
