//! Numbers, strings and values of a GGUF header, each checked against the rest of the file.

use crate::weights::malformed::Malformed;

/// The longest key or tensor name.
pub(super) const MAX_NAME: u64 = 1024;

/// The fewest bytes of a key-value pair: the length of an empty key, a type, a byte.
pub(super) const LEAST_VALUE: u64 = 13;

/// The longest string that is kept; longer ones are skipped.
const MAX_TEXT: u64 = 1024;

/// The longest list of numbers that is kept.
const MAX_LIST: u64 = 16;

/// How deep lists may be nested.
const MAX_DEPTH: u8 = 4;

/// Why a header cannot be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// It violates the format.
    Malformed(Malformed),
    /// The bytes read so far end before the header; it has at least `needed`.
    Short { needed: u64 },
}

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Malformed(Malformed(text.into()))
    }
}

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any integer, or a boolean as 0 or 1.
    Integer(i128),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A short list of integers.
    Integers(Vec<i128>),
}

/// The types of values with a fixed size: their numbers in the file, and their bytes.
const SIZES: [(u32, u64); 11] =
    [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)];
const TEXT: u32 = 8;
const LIST: u32 = 9;

fn size(kind: u32) -> Option<u64> {
    SIZES.iter().find(|(known, _)| *known == kind).map(|(_, size)| *size)
}

/// The beginning of a file, and the position in it.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
    file_length: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], file_length: u64) -> Self {
        Self { bytes, place: 0, file_length }
    }

    /// The position in the file.
    pub(super) fn place(&self) -> u64 {
        self.place as u64
    }

    pub(super) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// Reads the next bytes; messages call them `what`.
    pub(super) fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], Problem> {
        let end = self.place().checked_add(length).filter(|end| *end <= self.file_length);
        let Some(end) = end else {
            let left = self.file_length.saturating_sub(self.place());
            return Err(Problem::new(format!(
                "{what} takes {length} bytes, but the file has {left} left: it is cut off"
            )));
        };
        let found = usize::try_from(end).ok().and_then(|end| self.bytes.get(self.place..end));
        let found = found.ok_or(Problem::Short { needed: end })?;
        self.place += found.len();
        Ok(found)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Problem> {
        let bytes = self.take(4, what)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Problem> {
        let bytes = self.take(8, what)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// Reads a string of at most `most` bytes.
    pub(super) fn text(&mut self, what: &str, most: u64) -> Result<String, Problem> {
        let length = self.u64(what)?;
        if length > most {
            return Err(Problem::new(format!("{what} has {length} bytes, expected at most {most}")));
        }
        let bytes = self.take(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Problem::new(format!("{what} is not UTF-8: {}", bytes.escape_ascii()))),
        }
    }

    /// Fails unless the file has room for `count` entries of at least `least` bytes.
    pub(super) fn check_count(&self, count: u64, least: u64, what: &str) -> Result<(), Problem> {
        let left = self.file_length.saturating_sub(self.place());
        if count.checked_mul(least).is_some_and(|bytes| bytes <= left) {
            return Ok(());
        }
        Err(Problem::new(format!("{count} {what} do not fit into the remaining {left} bytes of the file")))
    }

    /// Reads the value of `key`; `None` if it is skipped.
    pub(super) fn value(&mut self, key: &str) -> Result<Option<Value>, Problem> {
        let what = format!("key {}", key.escape_debug());
        let kind = self.u32(&what)?;
        match kind {
            TEXT => self.short_text(&what),
            LIST => self.list(&what, 1),
            kind => self.scalar(kind, &what).map(Some),
        }
    }

    fn short_text(&mut self, what: &str) -> Result<Option<Value>, Problem> {
        let length = self.u64(what)?;
        let bytes = self.take(length, what)?;
        let kept = (length <= MAX_TEXT).then(|| Value::Text(String::from_utf8_lossy(bytes).into_owned()));
        Ok(kept)
    }

    fn scalar(&mut self, kind: u32, what: &str) -> Result<Value, Problem> {
        let Some(size) = size(kind) else {
            return Err(Problem::new(format!("{what} has a value of unknown type {kind}, expected 0 to 12")));
        };
        let bytes = self.take(size, what)?;
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(eight);
        let shift = 64 - 8 * size as u32;
        let signed = (unsigned << shift) as i64 >> shift;
        Ok(match kind {
            6 => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            12 => Value::Float(f64::from_bits(unsigned)),
            1 | 3 | 5 | 11 => Value::Integer(signed.into()),
            _ => Value::Integer(unsigned.into()),
        })
    }

    /// Reads a list: kept if it is short and of integers, else skipped.
    fn list(&mut self, what: &str, depth: u8) -> Result<Option<Value>, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::new(format!("{what} has lists nested more than {MAX_DEPTH} deep")));
        }
        let kind = self.u32(what)?;
        let count = self.u64(what)?;
        if let Some(size) = size(kind) {
            self.check_count(count, size, &format!("entries of {what}"))?;
            if count > MAX_LIST || matches!(kind, 6 | 12) {
                self.take(count * size, what)?;
                return Ok(None);
            }
            let mut numbers = Vec::new();
            for _ in 0..count {
                if let Value::Integer(number) = self.scalar(kind, what)? {
                    numbers.push(number);
                }
            }
            return Ok(Some(Value::Integers(numbers)));
        }
        // A string has at least a length, a list a type and a length.
        let least = if kind == TEXT { 8 } else { 12 };
        self.check_count(count, least, &format!("entries of {what}"))?;
        for _ in 0..count {
            match kind {
                TEXT => {
                    let length = self.u64(what)?;
                    self.take(length, what)?;
                }
                LIST => {
                    self.list(what, depth + 1)?;
                }
                kind => {
                    return Err(Problem::new(format!("{what} has a list of unknown type {kind}, expected 0 to 12")));
                }
            }
        }
        Ok(None)
    }
}
