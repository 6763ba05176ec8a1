//! The two Exif fields used here (Exif 2.32, which is TIFF 6.0 inside): the orientation, which `image` reads, and the user
//! comment with the generation parameters. Broken fields count as absent: the picture is still usable.

use super::TEXT_MAX;
use image::metadata::Orientation;
use std::cmp::Ordering;

/// Precedes the block in a JPEG segment; some tools write it in other formats, too.
pub(super) const PREFIX: &[u8; 6] = b"Exif\0\0";

const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;

/// The numbers of the TIFF types written here.
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;

/// The bytes of one directory entry: tag, type, count, and a value or its offset.
const ENTRY: usize = 12;

/// The character code of a user comment in UTF-16.
const UNICODE: &[u8; 8] = b"UNICODE\0";

/// An Exif block, starting at its TIFF header.
pub(super) struct Exif<'a> {
    data: &'a [u8],
    big_endian: bool,
}

/// One directory entry.
struct Entry<'a> {
    /// The number of values.
    count: usize,
    /// Four bytes: the value if it fits, or else its offset.
    value: &'a [u8],
}

impl<'a> Exif<'a> {
    /// Opens a block with or without its prefix; `None` if it is not TIFF.
    pub(super) fn open(block: &'a [u8]) -> Option<Self> {
        let data = block.strip_prefix(PREFIX).unwrap_or(block);
        let big_endian = match data.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { data, big_endian })
    }

    /// The picture's orientation.
    pub(super) fn orientation(&self) -> Option<Orientation> {
        Orientation::from_exif_chunk(self.data)
    }

    /// The user comment as text.
    pub(super) fn user_comment(&self) -> Option<String> {
        let directory = self.entry(self.u32(4)?, EXIF_DIRECTORY)?;
        let entry = self.entry(self.number32(directory.value.first_chunk()?), USER_COMMENT)?;
        let start = self.number32(entry.value.first_chunk()?);
        let comment = self.data.get(start..)?.get(..entry.count)?;
        if comment.len() > TEXT_MAX {
            return None;
        }
        let text = match comment.split_first_chunk::<8>() {
            Some((UNICODE, text)) => utf16(text, self.big_endian),
            Some((b"ASCII\0\0\0" | b"JIS\0\0\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0], text)) => bytes_as_text(text),
            _ => bytes_as_text(comment),
        };
        let text = text.trim_end_matches('\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The first entry with this tag in the directory at this offset.
    fn entry(&self, directory: usize, tag: u16) -> Option<Entry<'a>> {
        let count = self.number16(self.data.get(directory..)?.first_chunk()?);
        let entries = self.data.get(directory + 2..)?.chunks_exact(ENTRY).take(usize::from(count));
        let mut entries = entries.filter(|entry| entry.first_chunk().is_some_and(|bytes| self.number16(bytes) == tag));
        let (header, value) = entries.next()?.split_at_checked(8)?;
        Some(Entry { count: self.number32(header.last_chunk()?), value })
    }

    fn u32(&self, offset: usize) -> Option<usize> {
        Some(self.number32(self.data.get(offset..)?.first_chunk()?))
    }

    fn number16(&self, bytes: &[u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) }
    }

    fn number32(&self, bytes: &[u8; 4]) -> usize {
        (if self.big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) }) as usize
    }
}

/// A block, without the prefix, whose only field is a user comment: UTF-16 in big-endian order, as piexif writes it.
pub(super) fn write(text: &str) -> Vec<u8> {
    let mut comment = UNICODE.to_vec();
    comment.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    let mut block = b"MM\0*\0\0\0\x08".to_vec();
    // Two directories of one entry each, then the comment.
    let exif_directory = 8 + 2 + ENTRY + 4;
    let comment_start = exif_directory + 2 + ENTRY + 4;
    write_directory(&mut block, EXIF_DIRECTORY, LONG, 1, exif_directory);
    write_directory(&mut block, USER_COMMENT, UNDEFINED, comment.len(), comment_start);
    block.extend(comment);
    block
}

/// Writes a directory with one entry. A text too long for `u32` fits no file format anyway.
fn write_directory(block: &mut Vec<u8>, tag: u16, kind: u16, count: usize, value: usize) {
    for half in [1, tag, kind] {
        block.extend(half.to_be_bytes());
    }
    for number in [count as u32, value as u32, 0] {
        block.extend(number.to_be_bytes());
    }
}

/// UTF-16 in either byte order, whatever the file declares: the order that gives more ASCII, since `Steps: 20` is ASCII. A
/// byte order mark decides, and is not part of the text.
fn utf16(bytes: &[u8], big_endian: bool) -> String {
    let pairs = bytes.as_chunks::<2>().0;
    let big: Vec<u16> = pairs.iter().copied().map(u16::from_be_bytes).collect();
    let little: Vec<u16> = pairs.iter().copied().map(u16::from_le_bytes).collect();
    let ascii = |units: &[u16]| units.iter().filter(|unit| (0x09..0x7f).contains(*unit)).count();
    let prefer_big = match ascii(&big).cmp(&ascii(&little)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => big_endian,
    };
    let units = match big.first() {
        Some(0xfeff) => &big[1..],
        Some(0xfffe) => &little[1..],
        _ if prefer_big => &big,
        _ => &little,
    };
    String::from_utf16_lossy(units)
}

/// UTF-8 if valid, which includes ASCII and the ASCII in JIS; otherwise Latin-1.
fn bytes_as_text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin1(bytes), str::to_owned)
}

/// Latin-1: every byte is the code point of its character.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &[u8]) -> Option<String> {
        Exif::open(block)?.user_comment()
    }

    /// A little-endian block with these bytes as its user comment, and an orientation.
    fn little_endian(comment: &[u8]) -> Vec<u8> {
        let mut block = b"II*\0\x08\0\0\0\x02\0".to_vec();
        block.extend(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0");
        block.extend(b"\x69\x87\x04\0\x01\0\0\0\x26\0\0\0\0\0\0\0");
        block.extend(b"\x01\0\x86\x92\x07\0");
        block.extend((comment.len() as u32).to_le_bytes());
        block.extend(b"\x38\0\0\0\0\0\0\0");
        block.extend(comment);
        block
    }

    #[test]
    fn written_comments_are_read_back() {
        for text in ["a cat\nSteps: 20", "猫, 🐈", "e"] {
            assert_eq!(read(&write(text)).as_deref(), Some(text));
            assert_eq!(read(&[PREFIX, write(text).as_slice()].concat()).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_bytes_match_piexif() {
        let expected = b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0\
            \0\x01\x92\x86\0\x07\0\0\0\x0a\0\0\0\x2c\0\0\0\0UNICODE\0\0a";
        assert_eq!(write("a"), expected);
    }

    #[test]
    fn both_byte_orders_and_all_character_codes() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let block = little_endian(&[b"UNICODE\0", utf16("a cat").as_slice()].concat());
        assert_eq!(read(&block).as_deref(), Some("a cat"));
        // Little-endian TIFF with a big-endian text, as piexif writes when it edits a camera's file.
        assert_eq!(read(&little_endian(b"UNICODE\0\0c\0a\0t")).as_deref(), Some("cat"));
        // A byte order mark.
        assert_eq!(read(&little_endian(b"UNICODE\0\xfe\xff\x73\x2b")).as_deref(), Some("猫"));
        assert_eq!(read(&little_endian(b"UNICODE\0\xff\xfe\x2b\x73")).as_deref(), Some("猫"));
        // Without ASCII or a mark: the order of the block.
        assert_eq!(read(&little_endian(b"UNICODE\0\x2b\x73")).as_deref(), Some("猫"));
        assert_eq!(read(&little_endian(b"ASCII\0\0\0a cat\0\0")).as_deref(), Some("a cat"));
        assert_eq!(read(&little_endian(b"JIS\0\0\0\0\0a cat")).as_deref(), Some("a cat"));
        assert_eq!(read(&little_endian(b"\0\0\0\0\0\0\0\0caf\xc3\xa9")).as_deref(), Some("café"));
        assert_eq!(read(&little_endian(b"ASCII\0\0\0caf\xe9")).as_deref(), Some("café"));
        assert_eq!(read(&little_endian(b"plain comment")).as_deref(), Some("plain comment"));
        assert_eq!(read(&little_endian(b"ASCII\0\0\0\0\0")), None);
    }

    #[test]
    fn the_orientation_is_read() {
        assert_eq!(Exif::open(&little_endian(b"")).unwrap().orientation(), Some(Orientation::Rotate90));
        assert_eq!(Exif::open(&write("a")).unwrap().orientation(), None);
    }

    #[test]
    fn broken_blocks_have_no_comment() {
        let block = write("a cat");
        assert!(Exif::open(b"JFIF").is_none());
        for end in 0..block.len() {
            assert_eq!(read(&block[..end]), None, "cut to {end} bytes");
        }
        let mut pointing_nowhere = block.clone();
        pointing_nowhere[18..22].fill(0xff);
        assert_eq!(read(&pointing_nowhere), None);
    }
}
