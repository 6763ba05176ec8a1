//! JPEG (<https://www.w3.org/Graphics/JPEG/itu-t81.pdf>): read by `zune-jpeg`, written by `jpeg-encoder`, both without
//! machine-specific vector code, so that pictures are the same everywhere.
//!
//! `image` 0.25 is not used: it depends on the last stable `zune-jpeg`, 0.5.15, with its vector code, and that release
//! decodes files with one scan per colour to noise (`scans.jpg` in the tests). Its encoder never subsamples chroma, which
//! makes the previews, at quality 75, 26 to 33 % larger; at 95 both encoders' files have the same size within 4 %.

use super::exif::{self, PREFIX};
use super::{ImageFormat, Limits, dimension};
use crate::{Error, Image, Result};
use jpeg_encoder::ChromaSubsamplingMethod;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const FORMAT: ImageFormat = ImageFormat::Jpeg;

/// The second bytes of markers.
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
const APP1: u8 = 0xe1;

/// The most bytes in a segment, without its two length bytes.
const SEGMENT_MAX: usize = 65533;

/// The largest width and height: 16 bits.
const SIZE_MAX: usize = 65535;

/// Bytes per pixel of RGB.
const RGB: usize = 3;

/// The picture, with grey and CMYK converted to RGB.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    check_complete(bytes)?;
    // The limits are checked below, on both sizes together.
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(SIZE_MAX)
        .set_max_height(SIZE_MAX);
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
        return Err(Error::invalid("quality", format!("must be between 1 and 100, got {quality}")));
    }
    let width = dimension("width", image.width, FORMAT)?;
    let height = dimension("height", image.height, FORMAT)?;
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    // As in libjpeg. The standard Huffman tables stay: with others the encoder writes one scan per colour, which zune-jpeg
    // before 0.5.16, and every program that uses it, decodes to noise.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    if let Some(text) = parameters {
        let block = exif::write(text);
        encoder.add_exif_metadata(&block).map_err(|_| {
            let got = block.len();
            let most = SEGMENT_MAX - PREFIX.len();
            Error::invalid("parameters", format!("{got} bytes of Exif, expected at most {most} in a JPEG"))
        })?;
    }
    encoder.encode(&image.rgb8, width, height, jpeg_encoder::ColorType::Rgb).map_err(|error| FORMAT.error(error))?;
    Ok(bytes)
}

/// The Exif block.
pub(super) fn exif(bytes: &[u8]) -> Result<Option<&[u8]>> {
    for segment in segments(bytes) {
        let segment = segment?;
        if segment.marker == APP1
            && let Some(block) = segment.data.strip_prefix(PREFIX)
        {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// Checks that a file is complete, because decoders turn half a file into half a picture. Within a scan, the two bytes of
/// the end marker have no other meaning.
fn check_complete(bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    for segment in segments(bytes) {
        rest = segment?.after;
    }
    if rest.windows(2).any(|pair| pair == [0xff, END_OF_IMAGE]) {
        return Ok(());
    }
    Err(FORMAT.error("ends before its end-of-image marker"))
}

/// A segment before the first scan.
struct Segment<'a> {
    /// The second byte of its marker.
    marker: u8,
    data: &'a [u8],
    /// The rest of the file.
    after: &'a [u8],
}

/// The segments before the first scan; an error if the file ends within one.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Result<Segment<'_>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (marker, at_length) = next_marker(rest)?;
        let Some((data, after)) = split_segment(at_length) else {
            rest = &[];
            return Some(Err(FORMAT.error("ends within a segment")));
        };
        rest = after;
        Some(Ok(Segment { marker, data, after }))
    })
}

/// The next marker that has a segment, and what follows it; `None` at the first scan and at the end.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut rest = bytes;
    loop {
        // Fill bytes and stray bytes are skipped, as in all decoders.
        let start = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
        let (marker, after) = rest[start + 1..].split_first()?;
        match *marker {
            START_OF_SCAN | END_OF_IMAGE => return None,
            // Markers without a segment: start, restart, private.
            0x01 | 0xd0..=0xd8 => rest = after,
            marker => return Some((marker, after)),
        }
    }
}

/// Splits off a segment after its two length bytes, which count themselves.
fn split_segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)).checked_sub(2)?)
}
