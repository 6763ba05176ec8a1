//! Reads pixels from any decoder of the `image` crate, within the limits.

use super::{ImageFormat, Limits};
use crate::{Image, Result};
use image::{ImageDecoder, ImageError};
use std::error::Error as _;

/// What makes a picture of width, height, channels and samples of 8 bits.
pub(super) type FromSamples = fn(usize, usize, usize, Vec<u8>) -> Result<Image>;

/// What `make` makes of the samples of a decoder whose header has been read. `bytes_per_pixel` is what the decoder itself
/// needs if that is more than the samples that it gives.
pub(super) fn read(
    mut decoder: impl ImageDecoder,
    format: ImageFormat,
    limits: &Limits,
    bytes_per_pixel: usize,
    make: FromSamples,
) -> Result<Image> {
    let (width, height) = size(&decoder);
    let color = decoder.color_type();
    let sample_bytes = usize::from(color.bytes_per_pixel());
    format.check_limits(limits, width, height, sample_bytes.max(bytes_per_pixel))?;
    decoder.set_limits(decoder_limits(limits)).map_err(|error| broken(format, &error))?;
    let mut samples = vec![0; width * height * sample_bytes];
    decoder.read_image(&mut samples).map_err(|error| broken(format, &error))?;
    let channels = usize::from(color.channel_count());
    make(width, height, channels, to_bytes(samples, sample_bytes / channels))
}

/// Width and height in pixels.
fn size(decoder: &impl ImageDecoder) -> (usize, usize) {
    let (width, height) = decoder.dimensions();
    (width as usize, height as usize)
}

/// A decoder's allocation limits: its pixels, and as much again for intermediate data.
pub(super) fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some((limits.bytes as u64).saturating_mul(2));
    decoder_limits
}

/// Converts a decoder's error, without the words that `image` adds to it.
pub(super) fn broken(format: ImageFormat, error: &ImageError) -> crate::Error {
    match (error, error.source()) {
        (ImageError::Decoding(_), Some(reason)) => format.error(reason),
        _ => format.error(error),
    }
}

/// Converts samples to 8 bits; 16-bit samples keep their upper byte. No decoder here has other sizes.
fn to_bytes(samples: Vec<u8>, bytes_per_sample: usize) -> Vec<u8> {
    if bytes_per_sample == 1 {
        return samples;
    }
    samples.as_chunks().0.iter().map(|&sample| upper_byte(u16::from_ne_bytes(sample))).collect()
}

/// The upper byte of a 16-bit sample: truncated, as in PIL.
pub(super) fn upper_byte(sample: u16) -> u8 {
    (sample >> 8) as u8
}
