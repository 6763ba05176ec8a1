//! `Source`: a file's bytes, read by range. Formats know nothing else about a file's location.

use super::send::{BoxFuture, WasmNotSend};
use crate::{Error, Result};
use bytes::Bytes;
use std::ops::Range;

/// A file of known length, read in pieces.
pub trait Source: WasmNotSend {
    /// Its name in errors: a path or an address.
    fn name(&self) -> &str;

    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes of `range`: a file that ends earlier is an [`Error::Format`], one that cannot be read an [`Error::Io`]
    /// or [`Error::Network`]. Readers request at most [`PIECE`](super::PIECE) bytes at a time and drop each piece
    /// before requesting the next.
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>>;
}

/// Bytes in memory: a built-in model, or one that a page holds.
#[derive(Clone, Debug)]
pub struct MemorySource {
    name: String,
    bytes: Bytes,
}

impl MemorySource {
    /// Wraps bytes; `Bytes::from_static` wraps those of `include_bytes!` without copying them.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    fn slice(&self, range: Range<u64>) -> Result<Bytes> {
        check_range(self, self.len(), &range)?;
        // Within the length, and therefore within `usize`.
        Ok(self.bytes.slice(range.start as usize..range.end as usize))
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(std::future::ready(self.slice(range)))
    }
}

/// Fails unless `range` is within a file that has `length` bytes now.
pub(super) fn check_range(source: &dyn Source, length: u64, range: &Range<u64>) -> Result<()> {
    if range.start <= range.end && range.end <= length {
        return Ok(());
    }
    let reason = format!("expected bytes {} to {}, but the file has {length} bytes", range.start, range.end);
    Err(Error::format(source.name(), reason))
}

/// Reads a whole small file of at most `limit` bytes.
pub(crate) async fn read_all(source: &dyn Source, limit: u64) -> Result<Bytes> {
    if source.len() > limit {
        let reason = format!("{} bytes long, expected at most {limit}", source.len());
        return Err(Error::format(source.name(), reason));
    }
    source.read(0..source.len()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn memory_returns_ranges_and_refuses_those_past_the_end() {
        let source = MemorySource::new("a.bin", Bytes::from_static(b"0123456789"));
        assert_eq!(source.len(), 10);
        assert_eq!(&block_on(source.read(2..5)).unwrap()[..], b"234");
        assert!(block_on(source.read(10..10)).unwrap().is_empty());
        for range in [Range { start: 9, end: 11 }, Range { start: 5, end: 4 }, Range { start: u64::MAX, end: u64::MAX }]
        {
            let text = block_on(source.read(range)).unwrap_err().to_string();
            assert!(text.starts_with("a.bin: expected bytes") && text.ends_with("the file has 10 bytes"), "{text}");
        }
        let text = block_on(read_all(&source, 9)).unwrap_err().to_string();
        assert_eq!(text, "a.bin: 10 bytes long, expected at most 9");
    }
}
