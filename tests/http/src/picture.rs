//! The `stub` picture, and the size of any PNG.

use easel_contract::service::{Encoding, PictureFormat};
use easel_picture::{EncodeOptions, Image, ImageFormat, Result};

/// The media type of an encoding.
pub(crate) fn media_type(encoding: Encoding) -> &'static str {
    format(encoding).media_type()
}

fn format(encoding: Encoding) -> ImageFormat {
    match encoding.format {
        PictureFormat::Png => ImageFormat::Png,
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
        PictureFormat::Bmp => ImageFormat::Bmp,
        PictureFormat::Tiff => ImageFormat::Tiff,
        PictureFormat::Gif => ImageFormat::Gif,
    }
}

/// A picture of one colour.
pub(crate) fn stub(width: u32, height: u32, encoding: Encoding, parameters: &str) -> Result<Vec<u8>> {
    let options = EncodeOptions { parameters: Some(parameters), ..EncodeOptions::default() };
    Image::stub(width as usize, height as usize)?.encode(format(encoding), &options)
}

/// A fully transparent PNG.
pub(crate) fn clear(width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header()?.write_image_data(&vec![0; (width * height * 4) as usize])?;
    Ok(bytes)
}

/// Width and height of a PNG.
pub(crate) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    let number = |range: std::ops::Range<usize>| Some(u32::from_be_bytes(header.get(range)?.try_into().ok()?));
    Some((number(0..4)?, number(4..8)?))
}
