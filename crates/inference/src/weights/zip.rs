//! The table of contents of a ZIP archive (PKWARE's APPNOTE.TXT), with the 64-bit extension, read by range. PyTorch
//! stores files uncompressed, so each is a range of the archive.

use super::source::Source;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// The longest table of contents that is read.
const MAX_DIRECTORY: u64 = 1 << 28;

/// The length of the end record and of the longest comment after it.
const MAX_END: u64 = 22 + 0xffff;

/// A file's entry in the table of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The start of its local header.
    header: u64,
    size: u64,
    /// Whether its bytes are stored uncompressed and unencrypted.
    stored: bool,
}

/// The files of an archive by name.
pub(super) struct Archive<'a> {
    source: &'a dyn Source,
    entries: BTreeMap<String, Entry>,
}

impl<'a> Archive<'a> {
    pub(super) async fn open(source: &'a dyn Source) -> Result<Self> {
        let length = source.len();
        let end_start = length.saturating_sub(MAX_END);
        let end = source.read(end_start..length).await?;
        let at = end.windows(4).rposition(|window| window == b"PK\x05\x06");
        let Some(record) = at.and_then(|at| Fields::new(&end, at, 22)) else {
            return Err(cut_off(source));
        };
        let mut count = record.short(10);
        let mut size = record.long(12);
        let mut start = record.long(16);
        if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
            let locator = at.and_then(|at| at.checked_sub(20)).and_then(|at| Fields::new(&end, at, 20));
            let locator = locator.filter(|locator| locator.long(0) == 0x0706_4b50).ok_or_else(|| cut_off(source))?;
            let at = locator.quad(8);
            let bytes = source.read(at..at.checked_add(56).ok_or_else(|| cut_off(source))?).await?;
            let record = Fields::new(&bytes, 0, 56).filter(|record| record.long(0) == 0x0606_4b50);
            let record = record.ok_or_else(|| cut_off(source))?;
            (count, size, start) = (record.quad(32), record.quad(40), record.quad(48));
        }
        let stop = start.checked_add(size).filter(|stop| size <= MAX_DIRECTORY && *stop <= length);
        let directory = source.read(start..stop.ok_or_else(|| cut_off(source))?).await?;
        let entries = read_directory(&directory, count).ok_or_else(|| cut_off(source))?;
        Ok(Self { source, entries })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The range of the archive with the bytes of file `name`.
    pub(super) async fn range(&self, name: &str) -> Result<Range<u64>> {
        let error = |reason: String| Error::format(self.source.name(), reason);
        let entry = self.entries.get(name).ok_or_else(|| error(format!("{name} is missing from the archive")))?;
        if !entry.stored {
            return Err(error(format!("{name} is compressed, expected it to be stored uncompressed")));
        }
        let header_end = entry.header.checked_add(30).ok_or_else(|| cut_off(self.source))?;
        let header = self.source.read(entry.header..header_end).await?;
        let Some(fields) = Fields::new(&header, 0, 30).filter(|fields| fields.long(0) == 0x0403_4b50) else {
            return Err(error(format!("{name} is not where the table of contents says")));
        };
        let start = header_end + fields.short(26) + fields.short(28);
        match start.checked_add(entry.size).filter(|stop| *stop <= self.source.len()) {
            Some(stop) => Ok(start..stop),
            None => Err(error(format!("{name} extends beyond the end of the file: the file is cut off"))),
        }
    }
}

fn cut_off(source: &dyn Source) -> Error {
    Error::format(source.name(), "the archive has no valid table of contents: the file is cut off or damaged")
}

fn read_directory(bytes: &[u8], count: u64) -> Option<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    for _ in 0..count {
        let fields = Fields::new(bytes, at, 46).filter(|fields| fields.long(0) == 0x0201_4b50)?;
        let [name, extra, comment] = [28, 30, 32].map(|field| fields.short(field) as usize);
        let name_at = at + 46;
        let extra_at = name_at + name;
        let extra = bytes.get(extra_at..extra_at + extra)?;
        let [packed, size, header] = sizes(&fields, extra)?;
        let name = String::from_utf8_lossy(bytes.get(name_at..extra_at)?).into_owned();
        // Neither compressed (method 0) nor encrypted (bit 0 of the flags).
        let stored = fields.short(10) == 0 && fields.short(8) & 1 == 0 && packed == size;
        entries.insert(name, Entry { header, size, stored });
        at = extra_at + extra.len() + comment;
    }
    Some(entries)
}

/// Packed size, size and position; values that do not fit in 32 bits are in the extra field.
fn sizes(fields: &Fields<'_>, extra: &[u8]) -> Option<[u64; 3]> {
    let mut large = zip64_field(extra);
    let mut read = |field: usize| match fields.long(field) {
        0xffff_ffff => {
            let (number, rest) = large.split_first_chunk::<8>()?;
            large = rest;
            Some(u64::from_le_bytes(*number))
        }
        small => Some(small),
    };
    // In the extra field, the size comes before the packed size.
    let size = read(24)?;
    let packed = read(20)?;
    let header = read(42)?;
    Some([packed, size, header])
}

fn zip64_field(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let Some((field, next)) = rest.split_at_checked(length) else { break };
        if head[..2] == [1, 0] {
            return field;
        }
        extra = next;
    }
    &[]
}

/// A record of fixed size, with little-endian numbers.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The record of `size` bytes at `at`. Callers only read fields within it.
    fn new(bytes: &'a [u8], at: usize, size: usize) -> Option<Self> {
        bytes.get(at..at.checked_add(size)?).map(Self)
    }

    fn number(&self, at: usize, size: usize) -> u64 {
        let bytes = self.0.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn short(&self, at: usize) -> u64 {
        self.number(at, 2)
    }

    fn long(&self, at: usize) -> u64 {
        self.number(at, 4)
    }

    fn quad(&self, at: usize) -> u64 {
        self.number(at, 8)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::weights::MemorySource;
    use pollster::block_on;
    use proptest::prelude::*;

    /// An archive of stored files; `large` puts all possible numbers into the 64-bit extension.
    pub(in crate::weights) fn archive(files: &[(&str, &[u8])], large: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directory = Vec::new();
        let word = |number: usize| (number as u32).to_le_bytes();
        for (name, content) in files {
            let header = bytes.len();
            bytes.extend(b"PK\x03\x04\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0");
            bytes.extend([word(content.len()), word(content.len())].concat());
            // A local extra field of a different length, like PyTorch's padding for alignment.
            bytes.extend([name.len() as u8, 0, 5, 0]);
            bytes.extend(name.bytes().chain([0; 5]));
            bytes.extend(*content);
            let extra = [content.len() as u64, content.len() as u64, header as u64].map(u64::to_le_bytes).concat();
            let extra = if large { [&[9, 9, 1, 0, 7, 1, 0, 24, 0][..], &extra].concat() } else { Vec::new() };
            directory.extend(b"PK\x01\x02\x2d\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0");
            let shown = |number: usize| if large { [0xff; 4] } else { word(number) };
            directory.extend([shown(content.len()), shown(content.len())].concat());
            directory.extend([name.len() as u8, 0, extra.len() as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            directory.extend(shown(header));
            directory.extend(name.bytes().chain(extra));
        }
        let start = bytes.len();
        bytes.extend(&directory);
        if large {
            let at = bytes.len() as u64;
            bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
            let numbers = [files.len() as u64, files.len() as u64, directory.len() as u64, start as u64];
            bytes.extend(numbers.map(u64::to_le_bytes).concat());
            bytes.extend([&b"PK\x06\x07\0\0\0\0"[..], &at.to_le_bytes(), &[1, 0, 0, 0]].concat());
        }
        let count = if large { 0xffff } else { files.len() as u16 }.to_le_bytes();
        bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count].concat());
        bytes.extend(if large { [[0xff; 4], [0xff; 4]] } else { [word(directory.len()), word(start)] }.concat());
        bytes.extend([0, 0]);
        bytes
    }

    fn problem(bytes: &[u8], name: &str) -> String {
        let source = MemorySource::new("x.ckpt", bytes.to_vec());
        block_on(async { Archive::open(&source).await?.range(name).await }).unwrap_err().to_string()
    }

    #[test]
    fn stored_files_are_ranges() {
        for large in [false, true] {
            let bytes = archive(&[("a/data.pkl", b"hello"), ("a/data/0", b""), ("a/data/1", b"world!")], large);
            let source = MemorySource::new("x.ckpt", bytes.clone());
            let archive = block_on(Archive::open(&source)).unwrap();
            assert_eq!(archive.names().collect::<Vec<_>>(), ["a/data.pkl", "a/data/0", "a/data/1"]);
            for (name, content) in [("a/data.pkl", &b"hello"[..]), ("a/data/0", b""), ("a/data/1", b"world!")] {
                let range = block_on(archive.range(name)).unwrap();
                assert_eq!(&bytes[range.start as usize..range.end as usize], content);
            }
        }
    }

    #[test]
    fn every_problem_is_named() {
        let good = archive(&[("a", b"hello")], false);
        let cut_off = "x.ckpt: the archive has no valid table of contents: the file is cut off or damaged";
        assert_eq!(problem(&good[..good.len() - 9], "a"), cut_off);
        assert_eq!(problem(b"", "a"), cut_off);
        assert_eq!(problem(&good, "b"), "x.ckpt: b is missing from the archive");
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let directory = good.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        assert_eq!(
            problem(&with(directory + 10, 8), "a"),
            "x.ckpt: a is compressed, expected it to be stored uncompressed"
        );
        assert_eq!(problem(&with(directory, 0), "a"), cut_off);
        assert_eq!(problem(&with(directory + 42, 1), "a"), "x.ckpt: a is not where the table of contents says");
        let mut long = with(directory + 20, 255);
        long[directory + 24] = 255;
        assert_eq!(problem(&long, "a"), "x.ckpt: a extends beyond the end of the file: the file is cut off");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, large: bool, at in 0_usize..300, byte: u8) {
            let mut damaged = archive(&[("a", b"hello"), ("b", b"")], large);
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            for bytes in [bytes, damaged] {
                let source = MemorySource::new("x", bytes);
                let _ = block_on(async { Archive::open(&source).await?.range("a").await });
            }
        }
    }
}
