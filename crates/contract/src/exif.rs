//! Reads the user comment in an Exif block (Exif 2.32, a TIFF 6.0 file), which has the settings of JPEG and WebP files.

/// Precedes the block in a JPEG, and in the WebP of some programs.
pub(crate) const PREFIX: &[u8; 6] = b"Exif\0\0";

const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;

/// The bytes of a directory entry: tag, type, count, and a value or its offset.
const ENTRY: usize = 12;

/// The longest comment in bytes.
const COMMENT_MAX: usize = 1 << 20;

/// The user comment as text. `None` if it is missing or the block is broken.
pub(crate) fn user_comment(block: &[u8]) -> Option<String> {
    let data = block.strip_prefix(PREFIX).unwrap_or(block);
    let is_big = match data.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let tiff = Tiff { data, is_big };
    let (_, directory) = tiff.entry(tiff.long(4)?, EXIF_DIRECTORY)?;
    let (length, start) = tiff.entry(directory, USER_COMMENT)?;
    let comment = data.get(start..)?.get(..length).filter(|comment| comment.len() <= COMMENT_MAX)?;
    let text = match comment.split_first_chunk::<8>() {
        Some((b"UNICODE\0", text)) => utf16(text, is_big),
        Some((b"ASCII\0\0\0" | b"JIS\0\0\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0], text)) => utf8_or_latin1(text),
        _ => utf8_or_latin1(comment),
    };
    let text = text.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Numbers in one of two byte orders.
struct Tiff<'a> {
    data: &'a [u8],
    is_big: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.data.get(at..)?.first_chunk()?;
        Some(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes = *self.data.get(at..)?.first_chunk()?;
        let number = if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    }

    /// The count and the value of the first entry with this tag in the directory at this offset.
    fn entry(&self, directory: usize, tag: u16) -> Option<(usize, usize)> {
        let count = usize::from(self.short(directory)?);
        let mut entries = (0..count).map(|index| directory + 2 + index * ENTRY);
        let at = entries.find(|at| self.short(*at) == Some(tag))?;
        Some((self.long(at + 4)?, self.long(at + 8)?))
    }
}

/// UTF-16 in the byte order of its mark. Without one, the order that gives more ASCII: some programs declare the wrong one.
fn utf16(bytes: &[u8], is_big: bool) -> String {
    let pairs = bytes.as_chunks::<2>().0;
    let big: Vec<u16> = pairs.iter().copied().map(u16::from_be_bytes).collect();
    let little: Vec<u16> = pairs.iter().copied().map(u16::from_le_bytes).collect();
    let ascii = |units: &[u16]| units.iter().filter(|unit| (0x09..0x7f).contains(*unit)).count();
    let order = ascii(&big).cmp(&ascii(&little));
    let units = match big.first() {
        Some(0xfeff) => &big[1..],
        Some(0xfffe) => &little[1..],
        _ if order.is_gt() || (order.is_eq() && is_big) => &big,
        _ => &little,
    };
    String::from_utf16_lossy(units)
}

fn utf8_or_latin1(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A block with this comment, in big-endian order.
    pub(crate) fn block(comment: &[u8]) -> Vec<u8> {
        let mut block = b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0\0\x01\x92\x86\0\x07".to_vec();
        block.extend(u32::try_from(comment.len()).unwrap().to_be_bytes());
        block.extend(b"\0\0\0\x2c\0\0\0\0");
        block.extend(comment);
        block
    }

    #[test]
    fn comments_are_read_in_every_character_code() {
        let read = |comment: &[u8]| user_comment(&block(comment));
        assert_eq!(read(b"UNICODE\0\0c\0a\0t").as_deref(), Some("cat"));
        assert_eq!(read(b"UNICODE\0c\0a\0t\0").as_deref(), Some("cat"), "in the other order");
        assert_eq!(read(b"UNICODE\0\xff\xfe\x2b\x73").as_deref(), Some("猫"), "a byte order mark");
        assert_eq!(read(b"ASCII\0\0\0a cat\0").as_deref(), Some("a cat"));
        assert_eq!(read(b"\0\0\0\0\0\0\0\0caf\xc3\xa9").as_deref(), Some("café"));
        assert_eq!(read(b"caf\xe9, plainly").as_deref(), Some("café, plainly"));
        assert_eq!(read(b"ASCII\0\0\0"), None);
        let little = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\x01\0\x86\x92\x07\0\x0b\0\0\0\
            \x2c\0\0\0\0\0\0\0ASCII\0\0\0cat";
        assert_eq!(user_comment(&[PREFIX, &little[..]].concat()).as_deref(), Some("cat"));
    }

    #[test]
    fn broken_blocks_have_no_comment() {
        let whole = block(b"ASCII\0\0\0a cat");
        assert!((0..whole.len()).all(|end| user_comment(&whole[..end]).is_none()));
        let mut elsewhere = whole.clone();
        elsewhere[18..22].fill(0xff);
        assert_eq!(user_comment(&elsewhere), None);
        assert_eq!(user_comment(b"JFIF"), None);
    }
}
