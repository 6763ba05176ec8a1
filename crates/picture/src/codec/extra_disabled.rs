//! The replacement of `extra` in a build without the feature `extra-formats`. Every function fails with
//! [`Error::NotAvailable`].

use super::{ImageFormat, Limits};
use crate::{Error, Image, Result};

/// No formats.
pub(super) const FORMATS: &[ImageFormat] = &[];

pub(super) fn decode_gif(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotAvailable { format: ImageFormat::Gif })
}

pub(super) fn decode_bmp(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotAvailable { format: ImageFormat::Bmp })
}

pub(super) fn decode_tiff(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotAvailable { format: ImageFormat::Tiff })
}

pub(super) fn encode_gif(_: &Image) -> Result<Vec<u8>> {
    Err(Error::NotAvailable { format: ImageFormat::Gif })
}

pub(super) fn encode_bmp(_: &Image) -> Result<Vec<u8>> {
    Err(Error::NotAvailable { format: ImageFormat::Bmp })
}

pub(super) fn encode_tiff(_: &Image) -> Result<Vec<u8>> {
    Err(Error::NotAvailable { format: ImageFormat::Tiff })
}
