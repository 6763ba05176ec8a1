//! Reads a picture file without decoding it: its width and height, and the settings in it. Easel writes those of a PNG
//! (<https://www.w3.org/TR/png-3/>) and of a JPEG before the pixels, so the first bytes are enough.

use crate::exif;
use crate::service::{Image, Result, Service};
use flate2::read::ZlibDecoder;
use futures_util::StreamExt;
use std::io::Read;

/// How many bytes of a stored picture are read: enough for settings with two prompts of the maximum length.
const READ: u64 = 128 << 10;

/// The longest settings in bytes.
const SETTINGS_MAX: u64 = 1 << 20;

/// The first bytes of a stored picture.
pub(crate) async fn of(service: &dyn Service, image: &Image) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut pieces = service.read_image(image.id, 0..image.size.min(READ)).await?;
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// Width and height from the header of a PNG, JPEG or WebP.
pub(crate) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some((big(bytes, 16)?, big(bytes, 20)?)),
        [0xff, 0xd8, rest @ ..] => jpeg(rest),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', chunk @ ..] => webp(chunk),
        _ => None,
    }
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The first frame header (ITU-T T.81, section B.2.2) among the segments.
fn jpeg(mut rest: &[u8]) -> Option<(u32, u32)> {
    loop {
        let [0xff, kind, high, low, ..] = *rest else { return None };
        // All markers from C0 to CF, except DHT, JPG and DAC.
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            let [h, h2, w, w2] = *rest.get(5..9)?.first_chunk()?;
            return Some((u16::from_be_bytes([w, w2]).into(), u16::from_be_bytes([h, h2]).into()));
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}

/// The size in the first chunk: lossy, lossless or extended.
fn webp(chunk: &[u8]) -> Option<(u32, u32)> {
    let at = |index: usize| chunk.get(index).copied().map(u32::from);
    match chunk.get(..4)? {
        b"VP8 " => Some(((at(14)? | at(15)? << 8) & 0x3fff, (at(16)? | at(17)? << 8) & 0x3fff)),
        b"VP8L" => {
            let bits = at(9)? | at(10)? << 8 | at(11)? << 16 | at(12)? << 24;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let size = |index| Some((at(index)? | at(index + 1)? << 8 | at(index + 2)? << 16) + 1);
            Some((size(12)?, size(15)?))
        }
        _ => None,
    }
}

/// The settings in a picture: the first text chunk of a PNG with the keyword `parameters`, or the Exif user comment of a
/// JPEG or WebP. `None` if they are missing, broken or truncated.
pub(crate) fn settings(bytes: &[u8]) -> Option<String> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', chunks @ ..] => png_settings(chunks),
        [0xff, 0xd8, segments @ ..] => jpeg_exif(segments).and_then(exif::user_comment),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', chunks @ ..] => {
            webp_exif(chunks).and_then(exif::user_comment)
        }
        _ => None,
    }
}

/// The Exif block among the segments of a JPEG, before the picture begins.
fn jpeg_exif(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let [0xff, kind, high, low, ..] = *rest else { return None };
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let data = rest.get(4..end)?;
        match kind {
            0xe1 if data.starts_with(exif::PREFIX) => return Some(data),
            // The picture itself begins.
            0xda => return None,
            _ => rest = &rest[end..],
        }
    }
}

/// The Exif block among the chunks of a WebP, each padded to an even length.
fn webp_exif(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let data = after.get(..length)?;
        if kind == b"EXIF" {
            return Some(data);
        }
        rest = after.get(length.checked_add(length % 2)?..)?;
    }
}

fn png_settings(mut rest: &[u8]) -> Option<String> {
    loop {
        let length = usize::try_from(big(rest, 0)?).ok()?;
        let data = rest.get(8..8_usize.checked_add(length)?)?;
        let kind = &rest[4..8];
        if let Some(text) = data.strip_prefix(b"parameters\0")
            && matches!(kind, b"tEXt" | b"zTXt" | b"iTXt")
        {
            return text_of(kind, text);
        }
        rest = rest.get(12_usize.checked_add(length)?..)?;
    }
}

/// The text after the keyword of a chunk of this kind.
fn text_of(kind: &[u8], text: &[u8]) -> Option<String> {
    match (kind, text) {
        (b"tEXt", _) => Some(latin1(text)),
        (b"zTXt", [0, compressed @ ..]) => inflated(compressed).map(|text| latin1(&text)),
        (b"iTXt", [is_compressed, _, rest @ ..]) => {
            // The language and the translated keyword, each with a terminating zero.
            let mut parts = rest.splitn(3, |byte| *byte == 0);
            let text = parts.nth(2)?;
            let text = if *is_compressed == 1 { inflated(text)? } else { text.to_vec() };
            String::from_utf8(text).ok()
        }
        _ => None,
    }
}

fn latin1(text: &[u8]) -> String {
    text.iter().map(|byte| char::from(*byte)).collect()
}

/// Inflates zlib data, up to the maximum length of settings.
fn inflated(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut limited = ZlibDecoder::new(compressed).take(SETTINGS_MAX + 1);
    limited.read_to_end(&mut text).ok()?;
    (text.len() as u64 <= SETTINGS_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG with these chunks.
    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in chunks {
            let length = u32::try_from(data.len()).unwrap().to_be_bytes();
            bytes.extend([&length[..], *kind, data, &[0; 4]].concat());
        }
        bytes
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn settings_are_found_in_every_kind_of_text_chunk() {
        let other: (&[u8; 4], &[u8]) = (b"tEXt", b"comment\0no");
        let of = |kind: &[u8; 4], data: &[u8]| settings(&png(&[(b"IHDR", &[0; 13]), other, (kind, data)]));
        assert_eq!(of(b"tEXt", b"parameters\0caf\xe9").as_deref(), Some("café"));
        assert_eq!(of(b"zTXt", &[b"parameters\0\0", &zlib(b"a cat")[..]].concat()).as_deref(), Some("a cat"));
        assert_eq!(of(b"iTXt", "parameters\0\0\0en\0x\0caf\u{e9}".as_bytes()).as_deref(), Some("café"));
        let compressed = [b"parameters\0\x01\0\0\0", &zlib(b"a cat")[..]].concat();
        assert_eq!(of(b"iTXt", &compressed).as_deref(), Some("a cat"));
        let bomb = [b"parameters\0\0", &zlib(&[b'a'; 2 << 20])[..]].concat();
        for (kind, data) in [(b"tEXt", &b"parameter\0a"[..]), (b"iTXt", b"parameters\0\0"), (b"zTXt", &bomb)] {
            assert_eq!(of(kind, data), None);
        }
        let whole = png(&[(b"tEXt", b"parameters\0a cat")]);
        assert!((0..whole.len() - 4).all(|end| settings(&whole[..end]).is_none()), "a cut file has none");
    }

    #[test]
    fn settings_are_found_in_a_jpeg_and_in_a_webp() {
        let block = exif::tests::block(b"UNICODE\0\0c\0a\0t");
        let length = u16::try_from(block.len() + 8).unwrap().to_be_bytes();
        let jpeg = [b"\xff\xd8\xff\xe0\0\x04ab\xff\xe1", &length[..], exif::PREFIX, &block, b"\xff\xda\0\x02"].concat();
        assert_eq!(settings(&jpeg).as_deref(), Some("cat"));
        assert!((0..jpeg.len() - 4).all(|end| settings(&jpeg[..end]).is_none()), "a cut file has none");
        assert_eq!(settings(&[b"\xff\xd8\xff\xda\0\x02", &jpeg[8..]].concat()), None, "after the picture is too late");
        let length = u32::try_from(block.len()).unwrap().to_le_bytes();
        let webp = [b"RIFF\0\0\0\0WEBPVP8L\x03\0\0\0abc\0EXIF", &length[..], &block].concat();
        assert_eq!(settings(&webp).as_deref(), Some("cat"));
        assert!((0..webp.len()).all(|end| settings(&webp[..end]).is_none()), "a cut file has none");
    }

    #[test]
    fn sizes_are_found_in_every_kind_of_file() {
        let ihdr = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x02\0\x08\x02";
        assert_eq!(size(ihdr), Some((256, 512)));
        let jpeg = b"\xff\xd8\xff\xe1\0\x04ab\xff\xc4\0\x03a\xff\xc2\0\x11\x08\0\x40\0\x80\x03";
        assert_eq!(size(jpeg), Some((128, 64)));
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\0\x80\0";
        assert_eq!(size(lossy), Some((64, 128)));
        // 63 and 127 in 14 bits each.
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc0\x1f\0";
        assert_eq!(size(lossless), Some((64, 128)));
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\0\0\xff\x01\0";
        assert_eq!(size(extended), Some((256, 512)));
        for cut in [&ihdr[..20], &jpeg[..20], &lossy[..29], &lossless[..24], &extended[..29], b"", b"GIF89a"] {
            assert_eq!(size(cut), None, "{cut:?}");
        }
    }
}
