//! A picture in memory, and its conversion to and from a model's numbers.
//!
//! The arithmetic is that of diffusers' `VaeImageProcessor`, including its rounding, so pictures are the same bytes as in
//! diffusers.

use crate::{Error, Result};

/// Samples per pixel: red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// The colour of [`Image::stub`].
const STUB_COLOR: [u8; CHANNELS] = [0, 100, 200];

/// An RGB picture with 8 bits per channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb8: Vec<u8>,
}

impl Image {
    /// A picture from `height * width * 3` bytes. [`Error::Invalid`] if it has no pixels or another number of bytes.
    pub fn new(width: usize, height: usize, rgb8: Vec<u8>) -> Result<Self> {
        let image = Self { width, height, rgb8 };
        image.check()?;
        Ok(image)
    }

    /// A picture from samples `[height, width, channels]` with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels.
    /// Transparency becomes white. [`Error::Invalid`] for another number of channels or samples.
    pub fn from_samples(width: usize, height: usize, channels: usize, samples: Vec<u8>) -> Result<Self> {
        if !(1..=4).contains(&channels) {
            return Err(Error::invalid("image", format!("{channels} channels, expected 1 to 4")));
        }
        check_samples(width, height, channels, samples.len())?;
        let rgb8 = match channels {
            1 => samples.iter().flat_map(|&grey| [grey; CHANNELS]).collect(),
            2 => samples.as_chunks().0.iter().flat_map(|&[grey, alpha]| on_white([grey; CHANNELS], alpha)).collect(),
            3 => samples,
            _ => samples.as_chunks().0.iter().flat_map(|&[r, g, b, alpha]| on_white([r, g, b], alpha)).collect(),
        };
        Self::new(width, height, rgb8)
    }

    /// A picture from `[height, width, 3]` numbers from 0 to 1, rounded to the nearest of 256 levels, ties to even. Numbers
    /// outside the range are clamped. [`Error::Invalid`] for the wrong number of them, [`Error::NotFinite`] for a NaN or an
    /// infinity.
    pub fn from_unit(width: usize, height: usize, values: &[f32]) -> Result<Self> {
        Self::from_floats(width, height, values, |x| x)
    }

    /// A picture from an autoencoder's `[height, width, 3]` numbers from -1 to 1; otherwise like [`Self::from_unit`].
    pub fn from_normalized(width: usize, height: usize, values: &[f32]) -> Result<Self> {
        Self::from_floats(width, height, values, |x| x * 0.5 + 0.5)
    }

    fn from_floats(width: usize, height: usize, values: &[f32], to_unit: impl Fn(f32) -> f32) -> Result<Self> {
        check_samples(width, height, CHANNELS, values.len())?;
        if values.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite);
        }
        // The cast saturates, and the value is within 0..=255 anyway.
        let byte = |&x: &f32| (to_unit(x).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        Self::new(width, height, values.iter().map(byte).collect())
    }

    /// The `stub` model's picture: all pixels the same blue. [`Error::Invalid`] if it has no pixels or more than fit in
    /// memory.
    pub fn stub(width: usize, height: usize) -> Result<Self> {
        let pixels = check_size(width, height, CHANNELS)? / CHANNELS;
        Self::new(width, height, STUB_COLOR.repeat(pixels))
    }

    /// The picture as `[height, width, 3]` numbers from 0 to 1.
    pub fn to_unit(&self) -> Vec<f32> {
        self.rgb8.iter().map(|&byte| unit(byte)).collect()
    }

    /// The picture as `[height, width, 3]` numbers from -1 to 1, as an autoencoder expects.
    pub fn to_normalized(&self) -> Vec<f32> {
        self.rgb8.iter().map(|&byte| 2.0 * unit(byte) - 1.0).collect()
    }

    /// The luminance of each pixel, `[height, width]`, with PIL's fixed-point weights of ITU-R BT.601.
    pub fn to_luma(&self) -> Vec<u8> {
        let luma = |&[r, g, b]: &[u8; CHANNELS]| {
            let sum = 19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000;
            (sum >> 16) as u8
        };
        self.rgb8.as_chunks().0.iter().map(luma).collect()
    }

    /// Checks that the public fields agree with each other.
    pub(crate) fn check(&self) -> Result<()> {
        check_samples(self.width, self.height, CHANNELS, self.rgb8.len())
    }
}

/// A byte as a number from 0 to 1. As in numpy, it is one rounded division; multiplying by 1/255 would differ.
fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// The number of samples of a picture of this size.
pub(crate) fn check_size(width: usize, height: usize, channels: usize) -> Result<usize> {
    let samples = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
    match samples {
        Some(samples @ 1..) if isize::try_from(samples).is_ok() => Ok(samples),
        _ => Err(Error::invalid(
            "image",
            format!("must have at least one pixel and fit in memory, got {width}x{height}"),
        )),
    }
}

fn check_samples(width: usize, height: usize, channels: usize, got: usize) -> Result<()> {
    let expected = check_size(width, height, channels)?;
    if got == expected {
        return Ok(());
    }
    let reason = format!("{width}x{height} pixels of {channels} channels are {expected} samples, got {got}");
    Err(Error::invalid("image", reason))
}

/// A pixel painted over white, each channel rounded to the nearest byte.
fn on_white(color: [u8; CHANNELS], alpha: u8) -> [u8; CHANNELS] {
    let alpha = u32::from(alpha);
    color.map(|channel| ((u32::from(channel) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_alpha_become_rgb_on_white() {
        let pixel = |channels, samples: &[u8]| Image::from_samples(1, 1, channels, samples.to_vec()).unwrap().rgb8;
        assert_eq!(pixel(1, &[7]), [7, 7, 7]);
        assert_eq!(pixel(2, &[100, 255]), [100, 100, 100]);
        assert_eq!(pixel(3, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(pixel(4, &[1, 2, 3, 0]), [255, 255, 255]);
        assert_eq!(pixel(4, &[0, 100, 200, 128]), [127, 177, 227]);
    }

    #[test]
    fn every_byte_survives_conversion_to_floats() {
        let image = Image::from_samples(256, 1, 1, (0..=255).collect()).unwrap();
        assert_eq!(Image::from_unit(256, 1, &image.to_unit()).unwrap(), image);
        assert_eq!(Image::from_normalized(256, 1, &image.to_normalized()).unwrap(), image);
    }

    #[test]
    fn floats_are_clamped_and_ties_go_to_the_even_byte() {
        let rounded = Image::from_unit(1, 1, &[0.5, 1.5 / 255.0, 7.0]).unwrap();
        assert_eq!(rounded.rgb8, [128, 2, 255]); // 127.5 and 1.5 exactly
        assert_eq!(Image::from_unit(1, 1, &[-3.0, 2.5 / 255.0, 1.0]).unwrap().rgb8, [0, 2, 255]);
    }

    #[test]
    fn luma_matches_pil() {
        let image = Image::new(3, 1, vec![255, 255, 255, 255, 0, 0, 10, 200, 30]).unwrap();
        assert_eq!(image.to_luma(), [255, 76, 124]);
    }

    #[test]
    fn the_stub_is_blue() {
        let stub = Image::stub(2, 1).unwrap();
        assert_eq!(stub.rgb8, [0, 100, 200, 0, 100, 200]);
    }

    #[test]
    fn wrong_sizes_and_numbers_are_refused() {
        let message = |result: Result<Image>| result.unwrap_err().to_string();
        assert_eq!(message(Image::new(2, 1, vec![0; 5])), "image: 2x1 pixels of 3 channels are 6 samples, got 5");
        assert_eq!(message(Image::from_samples(1, 1, 5, vec![0; 5])), "image: 5 channels, expected 1 to 4");
        assert_eq!(message(Image::stub(0, 9)), "image: must have at least one pixel and fit in memory, got 0x9");
        assert!(matches!(Image::stub(usize::MAX, 2), Err(Error::Invalid { field: "image", .. })));
        assert!(matches!(Image::from_unit(1, 1, &[0.0, f32::NAN, 0.0]), Err(Error::NotFinite)));
        assert!(matches!(Image::from_normalized(1, 1, &[0.0]), Err(Error::Invalid { .. })));
    }
}
