//! The normalisation table of a sentencepiece model, as in T5's `tokenizer.json`: in base64, a double-array trie
//! (<https://github.com/s-yata/darts-clone>) from texts to positions in a list of replacements.
//!
//! The library does not check that a lookup stays inside the table, so a damaged table would lead to a panic. Therefore
//! the whole trie is checked once when it is read.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tokenizers::normalizers::Precompiled;

/// Reads the stage `Precompiled`. The error does not name the file.
pub(super) fn read(stage: &Value) -> Result<Precompiled, String> {
    const FIELD: &str = "precompiled_charsmap";
    let text = stage.get(FIELD).and_then(Value::as_str).ok_or_else(|| format!("expected {FIELD} in base64"))?;
    let bytes = BASE64_STANDARD.decode(text).map_err(|error| format!("{FIELD}: {error}"))?;
    check(&bytes).ok_or_else(|| format!("{FIELD}: damaged, expected a sentencepiece table"))?;
    Precompiled::from(&bytes).map_err(|error| format!("{FIELD}: {error}"))
}

/// Checks that every lookup stays inside the table: the length of the trie in bytes, its units, the replacements.
fn check(bytes: &[u8]) -> Option<()> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let trie = Trie { units: rest.get(..length / 4 * 4)? };
    let replacements = std::str::from_utf8(&rest[length / 4 * 4..]).ok()?;

    let start = trie.unit(0)?.offset();
    let mut seen = vec![false; trie.units.len() / 4];
    let mut waiting = vec![start];
    while let Some(node) = waiting.pop() {
        // A lookup reads the position of every possible child, even if the trie does not have it.
        trie.unit(node | 0xff)?;
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        for byte in 1..=0xff {
            let place = node ^ byte;
            let unit = trie.unit(place)?;
            if !unit.is_for(byte) {
                continue;
            }
            let child = place ^ unit.offset();
            if unit.has_leaf() && !replacements.is_char_boundary(trie.unit(child)?.replacement()) {
                return None;
            }
            waiting.push(child);
        }
    }
    Some(())
}

struct Trie<'a> {
    /// Four bytes each.
    units: &'a [u8],
}

impl Trie<'_> {
    fn unit(&self, place: usize) -> Option<Unit> {
        let bytes = self.units.get(place * 4..)?.first_chunk()?;
        Some(Unit(u32::from_le_bytes(*bytes)))
    }
}

/// A unit of darts-clone's double array.
struct Unit(u32);

impl Unit {
    fn is_for(&self, byte: usize) -> bool {
        (self.0 & (1 << 31 | 0xff)) as usize == byte
    }

    fn has_leaf(&self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn offset(&self) -> usize {
        ((self.0 >> 10) << ((self.0 & 1 << 9) >> 6)) as usize
    }

    fn replacement(&self) -> usize {
        (self.0 & !(1 << 31)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokenizers::{NormalizedString, Normalizer};

    /// A trie of 512 units with one text, `A`, and the position of its replacement.
    fn table(place: u32, replacements: &[u8]) -> Vec<u8> {
        let mut units = vec![0_u32; 512];
        // The root's children start at 256; that of `A` has its leaf among them.
        units[0] = 256 << 10;
        units[256 ^ 0x41] = 0x41 << 10 | 1 << 8 | 0x41;
        units[256] = 1 << 31 | place;
        let length = (4 * units.len()) as u32;
        let units = units.iter().flat_map(|unit| unit.to_le_bytes());
        length.to_le_bytes().into_iter().chain(units).chain(replacements.iter().copied()).collect()
    }

    fn normalized(table: &[u8], text: &str) -> Result<String, String> {
        let stage = json!({"type": "Precompiled", "precompiled_charsmap": BASE64_STANDARD.encode(table)});
        let map = read(&stage)?;
        let mut text = NormalizedString::from(text);
        map.normalize(&mut text).unwrap();
        Ok(text.get().to_owned())
    }

    #[test]
    fn texts_of_the_trie_are_replaced() {
        assert_eq!(normalized(&table(0, b"ab\0"), "A b A").unwrap(), "ab b ab");
        assert_eq!(normalized(&table(2, b"x\0yz"), "A").unwrap(), "yz");
    }

    #[test]
    fn damaged_tables_are_refused() {
        let damaged = "precompiled_charsmap: damaged, expected a sentencepiece table";
        let whole = table(0, b"ab\0");
        for cut in [0, 3, 4, 100, 4 + 4 * 511] {
            assert_eq!(normalized(&whole[..cut], "A").unwrap_err(), damaged, "{cut} bytes");
        }
        assert_eq!(normalized(&table(4, b"ab\0"), "A").unwrap_err(), damaged);
        assert_eq!(normalized(&table(1, "é\0".as_bytes()), "A").unwrap_err(), damaged);
        assert_eq!(normalized(&table(0, b"\xff"), "A").unwrap_err(), damaged);
        let mut far = whole;
        far[4 + 4 * (256 ^ 0x41) + 3] = 0x7f;
        assert_eq!(normalized(&far, "A").unwrap_err(), damaged);
        let stage = json!({"precompiled_charsmap": 1});
        assert_eq!(read(&stage).unwrap_err(), "expected precompiled_charsmap in base64");
        assert_eq!(
            read(&json!({"precompiled_charsmap": "?"})).unwrap_err(),
            "precompiled_charsmap: Invalid symbol 63, offset 0."
        );
    }

    #[test]
    fn lookups_in_a_cyclic_trie_end() {
        let mut table = table(0, b"ab\0");
        // The child of `A` is its own parent, and has no leaf.
        let unit = (0x41_u32 << 10 | 0x41).to_le_bytes();
        table[4 + 4 * (256 ^ 0x41)..][..4].copy_from_slice(&unit);
        assert_eq!(normalized(&table, "AAAA").unwrap(), "AAAA");
    }
}
