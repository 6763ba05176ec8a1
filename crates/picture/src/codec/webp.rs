//! WebP (<https://developers.google.com/speed/webp/docs/riff_container>) with `image`, which reads lossy and lossless
//! files and writes lossless ones; no pure Rust library writes lossy WebP.

use super::read::{FromSamples, broken, read};
use super::{ImageFormat, Limits, dimension, exif};
use crate::{Error, Image, Result};
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::io::Cursor;

const FORMAT: ImageFormat = ImageFormat::WebP;

/// `RIFF`, a size, `WEBP`.
const HEADER: usize = 12;

/// Bytes per pixel in the lossless decoder, which always uses RGBA.
const LOSSLESS_BYTES: usize = 4;

/// The largest width and height: 14 bits.
const SIZE_MAX: usize = 16384;

/// The picture.
pub(super) fn decode(bytes: &[u8], limits: &Limits, make: FromSamples) -> Result<Image> {
    let bytes = container(bytes);
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| broken(FORMAT, &error))?;
    if decoder.has_animation() {
        return Err(FORMAT.error("is animated, expected a still picture"));
    }
    check_frames(bytes, limits)?;
    read(decoder, FORMAT, limits, LOSSLESS_BYTES, make)
}

/// A lossless file, with the parameters as an Exif user comment.
pub(super) fn encode(image: &Image, parameters: Option<&str>) -> Result<Vec<u8>> {
    for (field, size) in [("width", image.width), ("height", image.height)] {
        if size > SIZE_MAX {
            return Err(Error::invalid(field, format!("{size} is more than {SIZE_MAX}, the most a WebP can have")));
        }
    }
    let width = dimension("width", image.width, FORMAT)?;
    let height = dimension("height", image.height, FORMAT)?;
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    if let Some(text) = parameters {
        encoder.set_exif_metadata(exif::write(text)).map_err(|error| FORMAT.error(error))?;
    }
    encoder.encode(&image.rgb8, width, height, ExtendedColorType::Rgb8).map_err(|error| broken(FORMAT, &error))?;
    Ok(bytes)
}

/// The Exif block.
pub(super) fn exif(bytes: &[u8]) -> Result<Option<&[u8]>> {
    for chunk in chunks(bytes) {
        if let (b"EXIF", data) = chunk? {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Checks the sizes in lossy frames: the decoder allocates memory for them before it compares them with the
/// container's size.
fn check_frames(bytes: &[u8], limits: &Limits) -> Result<()> {
    for chunk in chunks(bytes) {
        let (kind, data) = chunk?;
        // A frame tag of three bytes, a start code of three, width and height of 14 bits each.
        if let (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..]) = (kind, data) {
            let size = |low, high| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
            FORMAT.check_limits(limits, size(*a, *b), size(*c, *d), LOSSLESS_BYTES)?;
        }
    }
    Ok(())
}

/// The file without any bytes after the container.
fn container(bytes: &[u8]) -> &[u8] {
    let size = bytes.get(4..).and_then(|rest| rest.first_chunk());
    let end = size.and_then(|size| (u32::from_le_bytes(*size) as usize).checked_add(8));
    end.and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

/// The kind and the bytes of each chunk; an error if the file ends within one.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8; 4], &[u8])>> {
    let mut rest = container(bytes).get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((kind, data, after)) = split_chunk(rest) else {
            rest = &[];
            return Some(Err(FORMAT.error("ends within a chunk")));
        };
        rest = after;
        Some(Ok((kind, data)))
    })
}

/// A chunk: a kind, a length and the data, padded to an even length. The last padding byte may be missing.
fn split_chunk(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((kind, data, rest.get(data.len() % 2..).unwrap_or_default()))
}
