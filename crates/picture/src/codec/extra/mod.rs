//! The formats that only a host reads: GIF (<https://www.w3.org/Graphics/GIF/spec-gif89a.txt>), BMP and TIFF. A web page
//! leaves them to the browser's own decoders, and its module stays small.

mod tiff;

pub(super) use tiff::decode as decode_tiff;

use super::read::{broken, read};
use super::{ImageFormat, Limits};
use crate::{Image, Result};
use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use std::io::Cursor;

/// The formats of this file.
pub(super) const FORMATS: &[ImageFormat] = &[ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

/// The first frame of a GIF: what it does not cover is transparent.
pub(super) fn decode_gif(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(|error| broken(ImageFormat::Gif, &error))?;
    read(decoder, ImageFormat::Gif, limits, 0)
}

/// The picture of a BMP.
pub(super) fn decode_bmp(bytes: &[u8], limits: &Limits) -> Result<Image> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| broken(ImageFormat::Bmp, &error))?;
    read(decoder, ImageFormat::Bmp, limits, 0)
}

#[cfg(test)]
pub(super) mod tests;
