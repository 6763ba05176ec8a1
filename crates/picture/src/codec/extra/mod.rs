//! The formats that only a host supports: GIF (<https://www.w3.org/Graphics/GIF/spec-gif89a.txt>), BMP and TIFF. A web page
//! leaves them to the browser's decoders, which keeps its module small.

mod tiff;

pub(super) use tiff::{decode as decode_tiff, encode as encode_tiff};

use super::read::{broken, read};
use super::{ImageFormat, Limits, dimension};
use crate::{Image, Result};
use image::codecs::bmp::{BmpDecoder, BmpEncoder};
use image::codecs::gif::{GifDecoder, GifEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::io::Cursor;

/// How coarsely the 256 colours of a GIF are chosen, 1 to 30. At 10, which the `gif` crate recommends, every tenth pixel
/// is sampled.
const GIF_SPEED: i32 = 10;

/// The formats of this file.
pub(super) const FORMATS: &[ImageFormat] = &[ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

/// The first frame of a GIF; areas it does not cover are transparent.
pub(super) fn decode_gif(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(|error| broken(ImageFormat::Gif, &error))?;
    read(decoder, ImageFormat::Gif, limits, 0, Image::from_samples)
}

/// The picture of a BMP.
pub(super) fn decode_bmp(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| broken(ImageFormat::Bmp, &error))?;
    read(decoder, ImageFormat::Bmp, limits, 0, Image::from_samples)
}

/// A GIF with one frame. Pictures with more than 256 colours get the nearest of 256.
pub(super) fn encode_gif(image: &Image) -> Result<Vec<u8>> {
    const FORMAT: ImageFormat = ImageFormat::Gif;
    let width = dimension::<u16>("width", image.width, FORMAT)?;
    let height = dimension::<u16>("height", image.height, FORMAT)?;
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, GIF_SPEED);
    let encoded = encoder.encode(&image.rgb8, width.into(), height.into(), ExtendedColorType::Rgb8);
    encoded.map_err(|error| broken(FORMAT, &error))?;
    drop(encoder);
    Ok(bytes)
}

/// A BMP with 24 bits per pixel.
pub(super) fn encode_bmp(image: &Image) -> Result<Vec<u8>> {
    const FORMAT: ImageFormat = ImageFormat::Bmp;
    let width = dimension("width", image.width, FORMAT)?;
    let height = dimension("height", image.height, FORMAT)?;
    let mut bytes = Vec::new();
    let encoded = BmpEncoder::new(&mut bytes).write_image(&image.rgb8, width, height, ExtendedColorType::Rgb8);
    encoded.map_err(|error| broken(FORMAT, &error))?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests;
