//! TIFF (<https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>) with `tiff`, the crate that `image` uses.
//! `image` would also enable JPEG inside TIFF, and with it a release of `zune-jpeg` that Cargo cannot unify with ours.

use super::super::read::upper_byte;
use super::{ImageFormat, Limits, dimension};
use crate::{Error, Image, Result};
use std::io::Cursor;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::encoder::{Compression, TiffEncoder, colortype};

const FORMAT: ImageFormat = ImageFormat::Tiff;

/// The first picture of a file: grey with 1, 8 or 16 bits, RGB or CMYK with 8 or 16, alpha with grey and RGB, floats
/// from 0 to 1.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|error| FORMAT.error(error))?;
    let (width, height) = decoder.dimensions().map_err(|error| FORMAT.error(error))?;
    let width = width as usize;
    let height = height as usize;
    let color = decoder.colortype().map_err(|error| FORMAT.error(error))?;
    let channels = channels(color)?;
    let bytes_per_pixel = channels * usize::from(color.bit_depth().div_ceil(8));
    FORMAT.check_limits(limits, width, height, bytes_per_pixel)?;
    let mut decoder = decoder.with_limits(decoder_limits(limits));
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(|error| FORMAT.error(error))?;
    if layout.planes > 1 {
        return Err(FORMAT.error("has its channels in separate planes, expected them side by side"));
    }
    let samples = to_bytes(samples, color, width)?;
    match color {
        ColorType::CMYK(_) => {
            let rgb8 = samples.as_chunks().0.iter().flat_map(|&cmyk| cmyk_to_rgb(cmyk)).collect();
            Image::from_samples(width, height, 3, rgb8)
        }
        _ => Image::from_samples(width, height, channels, samples),
    }
}

/// A file with one picture: RGB with 8 bits, compressed with LZW, which every TIFF reader supports.
pub(crate) fn encode(image: &Image) -> Result<Vec<u8>> {
    let width = dimension("width", image.width, FORMAT)?;
    let height = dimension("height", image.height, FORMAT)?;
    let mut bytes = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut bytes).map_err(|error| FORMAT.error(error))?;
    let mut encoder = encoder.with_compression(Compression::Lzw);
    encoder.write_image::<colortype::RGB8>(width, height, &image.rgb8).map_err(|error| FORMAT.error(error))?;
    Ok(bytes.into_inner())
}

/// The number of samples per pixel.
fn channels(color: ColorType) -> Result<usize> {
    match color {
        ColorType::Gray(1 | 8 | 16 | 32) => Ok(1),
        ColorType::GrayA(8 | 16) => Ok(2),
        ColorType::RGB(8 | 16 | 32) => Ok(3),
        ColorType::RGBA(8 | 16 | 32) | ColorType::CMYK(8 | 16) => Ok(4),
        _ => Err(FORMAT.error(format!("{color:?} is not supported, expected grey, RGB or CMYK with 8 or 16 bits"))),
    }
}

/// The decoder's allocation limits: the pixels, and as much again for a strip or tile.
fn decoder_limits(limits: &Limits) -> tiff::decoder::Limits {
    let mut decoder_limits = tiff::decoder::Limits::default();
    decoder_limits.decoding_buffer_size = limits.bytes;
    decoder_limits.intermediate_buffer_size = limits.bytes;
    decoder_limits.ifd_value_size = limits.bytes;
    decoder_limits
}

/// Converts samples to 8 bits.
fn to_bytes(samples: DecodingResult, color: ColorType, width: usize) -> Result<Vec<u8>> {
    match samples {
        DecodingResult::U8(bits) if color == ColorType::Gray(1) => {
            let rows = bits.chunks_exact(width.div_ceil(8));
            Ok(rows.flat_map(|row| (0..width).map(|x| expand_bit(row, x))).collect())
        }
        DecodingResult::U8(samples) => Ok(samples),
        DecodingResult::U16(samples) => Ok(samples.into_iter().map(upper_byte).collect()),
        DecodingResult::F32(samples) => Ok(samples.into_iter().map(unit_to_byte).collect()),
        _ => Err(Error::File { format: FORMAT, reason: "has samples that are neither bytes nor 32-bit floats".into() }),
    }
}

/// A pixel in a row of packed bits, highest bit first.
fn expand_bit(row: &[u8], x: usize) -> u8 {
    if row[x / 8] & (0x80 >> (x % 8)) == 0 { 0 } else { 255 }
}

/// A float from 0 to 1 as a byte. The cast saturates and turns NaN into 0.
fn unit_to_byte(sample: f32) -> u8 {
    (sample * 255.0).round_ties_even() as u8
}

/// CMYK as RGB without a colour profile, as PIL converts it.
fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)) as u8
    })
}
