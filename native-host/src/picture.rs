//! Reads and writes picture files and the settings in them. Errors name the file.

use crate::args::Format;
use anyhow::{Context, Result, bail};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, read_metadata};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest file that is read as a picture, in bytes.
const FILE_MAX: u64 = 256 << 20;

/// Reads a picture file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    // Reading a pipe without a writer would never return, and a device may be endless.
    if !path.metadata().with_context(name)?.is_file() {
        bail!("{}: not a file, expected a picture file", name());
    }
    let file = File::open(path).with_context(name)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() as u64 > FILE_MAX {
        bail!("{}: larger than {FILE_MAX} bytes, the limit for pictures", name());
    }
    Ok(bytes)
}

/// Reads and decodes a picture.
pub(crate) fn read(path: &Path) -> Result<Image> {
    let bytes = read_file(path)?;
    Image::decode(&bytes, &Limits::default()).with_context(|| path.display().to_string())
}

/// The generation settings in a picture file and the file's format. It is an error if there are none.
pub(crate) fn read_settings(path: &Path) -> Result<(String, Format)> {
    let bytes = read_file(path)?;
    let found = || Ok::<_, easel_picture::Error>((read_metadata(&bytes)?, ImageFormat::detect(&bytes)?));
    match found().with_context(|| path.display().to_string())? {
        (Some(text), format) => Ok((text, Format::from(format))),
        (None, _) => bail!("{}: no generation settings in this picture", path.display()),
    }
}

/// The bytes of a picture file.
pub(crate) fn encode(image: &Image, format: Format, quality: Option<u8>, parameters: &str) -> Result<Vec<u8>> {
    let mut options = EncodeOptions { parameters: Some(parameters), ..EncodeOptions::default() };
    options.quality = quality.unwrap_or(options.quality);
    Ok(image.encode(format.into(), &options)?)
}

/// The bytes of a preview: a PNG without settings.
pub(crate) fn encode_preview(image: &Image) -> Result<Vec<u8>> {
    encode_plain(image, Format::Png)
}

/// The bytes of a picture file without settings.
pub(crate) fn encode_plain(image: &Image, format: Format) -> Result<Vec<u8>> {
    Ok(image.encode(format.into(), &EncodeOptions::default())?)
}

impl From<Format> for ImageFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Png => Self::Png,
            Format::Jpeg => Self::Jpeg,
            Format::Webp => Self::WebP,
        }
    }
}

/// The format of a new picture that is made from this file: PNG if the file's format cannot be written.
impl From<ImageFormat> for Format {
    fn from(format: ImageFormat) -> Self {
        match format {
            ImageFormat::Png | ImageFormat::Gif | ImageFormat::Bmp | ImageFormat::Tiff => Self::Png,
            ImageFormat::Jpeg => Self::Jpeg,
            ImageFormat::WebP => Self::Webp,
        }
    }
}
