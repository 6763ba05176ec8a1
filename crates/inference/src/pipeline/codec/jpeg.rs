//! JPEG (<https://www.w3.org/Graphics/JPEG/itu-t81.pdf>): read by `zune-jpeg`, written by `jpeg-encoder`, both without
//! the vector code of one machine, so that pictures are the same everywhere.

use super::exif::{self, PREFIX};
use super::{ImageFormat, Limits, dimension};
use crate::pipeline::Image;
use crate::{Error, Result};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const FORMAT: ImageFormat = ImageFormat::Jpeg;

/// The second bytes of the markers that are looked for.
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
const APP1: u8 = 0xe1;

/// What a segment holds at most, its two bytes of length not counted.
const SEGMENT_MAX: usize = 65533;

/// Bytes per pixel of RGB.
const RGB: usize = 3;

/// The picture, grey and CMYK turned to RGB.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    check_complete(bytes)?;
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(limits.pixels)
        .set_max_height(limits.pixels);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| FORMAT.error(error))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| FORMAT.error("has no frame header"))?;
    FORMAT.check_limits(limits, width, height, RGB)?;
    let rgb8 = decoder.decode().map_err(|error| FORMAT.error(error))?;
    Image::from_samples(width, height, RGB, rgb8)
}

/// A baseline file, with the parameters as an Exif user comment.
pub(super) fn encode(image: &Image, quality: u8, parameters: Option<&str>) -> Result<Vec<u8>> {
    if !(1..=100).contains(&quality) {
        return Err(Error::invalid("quality", format!("{quality} is not from 1 to 100")));
    }
    let (width, height) = (dimension("width", image.width, FORMAT)?, dimension("height", image.height, FORMAT)?);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.set_optimized_huffman_tables(true);
    if let Some(text) = parameters {
        let block = exif::write(text);
        encoder.add_exif_metadata(&block).map_err(|_| {
            let (got, most) = (block.len(), SEGMENT_MAX - PREFIX.len());
            Error::invalid("parameters", format!("{got} bytes of Exif, a JPEG holds at most {most}"))
        })?;
    }
    encoder.encode(&image.rgb8, width, height, jpeg_encoder::ColorType::Rgb).map_err(|error| FORMAT.error(error))?;
    Ok(bytes)
}

/// The Exif block.
pub(super) fn exif(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let mut rest = bytes;
    while let Some((marker, segment, after)) = next_segment(rest)? {
        if marker == APP1
            && let Some(block) = segment.strip_prefix(PREFIX)
        {
            return Ok(Some(block));
        }
        rest = after;
    }
    Ok(None)
}

/// Checks that a file has its end: what a decoder makes of half a file is half a picture. Within a scan the two bytes of
/// the end marker mean nothing else.
fn check_complete(bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    while let Some((_, _, after)) = next_segment(rest)? {
        rest = after;
    }
    if rest.windows(2).any(|pair| pair == [0xff, END_OF_IMAGE]) {
        return Ok(());
    }
    Err(FORMAT.error("ends before its end-of-image marker"))
}

/// The next marker before the first scan, the bytes of its segment, and what follows it; `None` at the scan or the end.
fn next_segment(bytes: &[u8]) -> Result<Option<(u8, &[u8], &[u8])>> {
    let mut rest = bytes;
    loop {
        // Fill bytes, and bytes that do not belong there, are skipped as all decoders do.
        let Some(start) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)) else {
            return Ok(None);
        };
        let marker = rest[start + 1];
        match marker {
            START_OF_SCAN | END_OF_IMAGE => return Ok(None),
            // Markers without a segment: a start, a restart, a private one.
            0x01 | 0xd0..=0xd8 => rest = &rest[start + 2..],
            _ => {
                let segment = split_segment(&rest[start + 2..]).ok_or_else(|| FORMAT.error("ends within a segment"))?;
                return Ok(Some((marker, segment.0, segment.1)));
            }
        }
    }
}

/// A segment behind its two bytes of length, which count themselves.
fn split_segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)).checked_sub(2)?)
}
