//! The `stub` picture, and the size of any PNG.

use anyhow::Result;

/// A PNG of one colour.
pub(crate) fn stub(width: u32, height: u32, parameters: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_itxt_chunk("parameters".into(), parameters.into())?;
    let pixels = [0, 100, 200].repeat((width * height) as usize);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

/// Width and height of a PNG.
pub(crate) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    let number = |range: std::ops::Range<usize>| Some(u32::from_be_bytes(header.get(range)?.try_into().ok()?));
    Some((number(0..4)?, number(4..8)?))
}
