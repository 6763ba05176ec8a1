//! PNG (<https://www.w3.org/TR/png-3/>): read by `image`, written by `png`, because `image` cannot add text.
//!
//! Text and Exif chunks are found here rather than by `png`: they may follow the picture, which `png` would inflate on the
//! way, and `png` ignores a damaged text, while a user should get an error.

use super::exif::latin1;
use super::read::{FromSamples, broken, decoder_limits, read};
use super::{ImageFormat, Limits, TEXT_MAX, dimension};
use crate::{Error, Image, Result};
use image::codecs::png::PngDecoder;
use std::io::{Cursor, Read};

const FORMAT: ImageFormat = ImageFormat::Png;

/// The length of the signature before the first chunk.
const SIGNATURE: usize = 8;

/// The keyword of the text chunk with the generation parameters.
const KEYWORD: &str = "parameters";

/// The picture: the first frame if it is animated.
pub(super) fn decode(bytes: &[u8], limits: &Limits, make: FromSamples) -> Result<Image> {
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), decoder_limits(limits));
    read(decoder.map_err(|error| broken(FORMAT, &error))?, FORMAT, limits, 0, make)
}

/// A file of 8-bit grey.
pub(super) fn encode_grey(width: usize, height: usize, grey: &[u8]) -> Result<Vec<u8>> {
    let width = dimension("width", width, FORMAT)?;
    let height = dimension("height", height, FORMAT)?;
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| FORMAT.error(error))?;
    writer.write_image_data(grey).map_err(|error| FORMAT.error(error))?;
    writer.finish().map_err(|error| FORMAT.error(error))?;
    Ok(bytes)
}

/// A file of 8-bit RGB with the parameters as tEXt, or as iTXt if they are not all Latin-1.
pub(super) fn encode(image: &Image, parameters: Option<&str>) -> Result<Vec<u8>> {
    let width = dimension("width", image.width, FORMAT)?;
    let height = dimension("height", image.height, FORMAT)?;
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    if let Some(text) = parameters {
        let keyword = KEYWORD.to_owned();
        let is_latin1 = text.chars().all(|c| u8::try_from(c).is_ok());
        let text = text.to_owned();
        let added =
            if is_latin1 { encoder.add_text_chunk(keyword, text) } else { encoder.add_itxt_chunk(keyword, text) };
        added.map_err(|error| FORMAT.error(error))?;
    }
    let mut writer = encoder.write_header().map_err(|error| FORMAT.error(error))?;
    writer.write_image_data(&image.rgb8).map_err(|error| FORMAT.error(error))?;
    writer.finish().map_err(|error| FORMAT.error(error))?;
    Ok(bytes)
}

/// The parameters in the first text chunk with that keyword.
pub(super) fn parameters(bytes: &[u8]) -> Result<Option<String>> {
    for chunk in chunks(bytes) {
        let chunk = chunk?;
        if matches!(&chunk.kind, b"tEXt" | b"zTXt" | b"iTXt")
            && let Some((keyword, rest)) = split_at_nul(chunk.data)
            && keyword == KEYWORD.as_bytes()
        {
            chunk.check()?;
            return chunk.text(rest).map(Some);
        }
    }
    Ok(None)
}

/// The Exif block.
pub(super) fn exif(bytes: &[u8]) -> Result<Option<&[u8]>> {
    for chunk in chunks(bytes) {
        let chunk = chunk?;
        if &chunk.kind == b"eXIf" {
            chunk.check()?;
            return Ok(Some(chunk.data));
        }
    }
    Ok(None)
}

/// A length-prefixed chunk of the file.
struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
    /// The checksum in the file.
    crc: u32,
}

impl Chunk<'_> {
    /// The chunk's type as text.
    fn name(&self) -> String {
        self.kind.escape_ascii().to_string()
    }

    fn check(&self) -> Result<()> {
        let mut crc = flate2::Crc::new();
        crc.update(&self.kind);
        crc.update(self.data);
        if crc.sum() == self.crc {
            return Ok(());
        }
        Err(FORMAT.error(format!("chunk {}: CRC is {:08x}, expected {:08x}", self.name(), crc.sum(), self.crc)))
    }

    /// The text that follows the keyword.
    fn text(&self, rest: &[u8]) -> Result<String> {
        match &self.kind {
            b"tEXt" => self.in_bounds(rest).map(latin1),
            b"zTXt" => match rest {
                [0, compressed @ ..] => Ok(latin1(&self.inflate(compressed)?)),
                _ => Err(self.error("expected compression method 0")),
            },
            _ => self.international(rest),
        }
    }

    /// iTXt: a compression flag and method, a language, a translated keyword, and UTF-8.
    fn international(&self, rest: &[u8]) -> Result<String> {
        let (flags, rest) = rest.split_at_checked(2).ok_or_else(|| self.error("ends before its text"))?;
        let text = split_at_nul(rest).and_then(|(_language, rest)| split_at_nul(rest));
        let (_translated, text) = text.ok_or_else(|| self.error("ends before its text"))?;
        let text = match flags {
            [0, _] => self.in_bounds(text)?.to_vec(),
            [1, 0] => self.inflate(text)?,
            _ => return Err(self.error("expected compression flag 0 or 1 and method 0")),
        };
        String::from_utf8(text).map_err(|_| self.error("expected UTF-8"))
    }

    fn inflate(&self, compressed: &[u8]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        // One byte more than allowed reveals a text that is too long.
        let mut decoder = flate2::read::ZlibDecoder::new(compressed).take(TEXT_MAX as u64 + 1);
        decoder.read_to_end(&mut text).map_err(|error| self.error(&format!("cannot be inflated: {error}")))?;
        self.in_bounds(&text)?;
        Ok(text)
    }

    fn in_bounds<'t>(&self, text: &'t [u8]) -> Result<&'t [u8]> {
        if text.len() <= TEXT_MAX {
            return Ok(text);
        }
        Err(self.error(&format!("text is longer than {TEXT_MAX} bytes")))
    }

    fn error(&self, reason: &str) -> Error {
        FORMAT.error(format!("chunk {}: {reason}", self.name()))
    }
}

/// The chunks up to the end of the file or the last one; an error if the file ends within one.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>>> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((chunk, after)) = split_chunk(rest) else {
            rest = &[];
            return Some(Err(FORMAT.error("ends within a chunk")));
        };
        rest = if &chunk.kind == b"IEND" { &[] } else { after };
        Some(Ok(chunk))
    })
}

fn split_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (&kind, rest) = rest.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (crc, rest) = rest.split_first_chunk()?;
    Some((Chunk { kind, data, crc: u32::from_be_bytes(*crc) }, rest))
}

/// Splits at the first NUL.
fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let nul = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..nul], &bytes[nul + 1..]))
}
