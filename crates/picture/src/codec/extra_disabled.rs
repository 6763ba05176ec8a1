//! The twin of `extra.rs` in a build without the feature `extra-formats`.

use super::{ImageFormat, Limits};
use crate::{Error, Image, Result};

/// None.
pub(super) const FORMATS: &[ImageFormat] = &[];

/// Always [`Error::NotRead`].
pub(super) fn decode_gif(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotRead { format: ImageFormat::Gif })
}

/// Always [`Error::NotRead`].
pub(super) fn decode_bmp(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotRead { format: ImageFormat::Bmp })
}

/// Always [`Error::NotRead`].
pub(super) fn decode_tiff(_: &[u8], _: &Limits) -> Result<Image> {
    Err(Error::NotRead { format: ImageFormat::Tiff })
}
