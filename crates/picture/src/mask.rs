//! Inpainting masks, black and white, computed like diffusers' `mask_processor`.

use crate::pixels::check_size;
use crate::{Error, Image, Result};

/// The smallest grey that counts as white: the first byte that is at least 0.5 on a scale from 0 to 1.
const THRESHOLD: u8 = 128;

/// Which part of a picture stands for what is drawn anew, in [`Image::decode_mask`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redraw {
    /// White.
    #[default]
    White,
    /// Black.
    Black,
    /// What is wholly transparent.
    Transparent,
}

/// A picture that is white where samples are wholly transparent and black elsewhere. [`Error::Invalid`] if they have no
/// alpha.
pub(crate) fn transparency(width: usize, height: usize, channels: usize, samples: Vec<u8>) -> Result<Image> {
    if !matches!(channels, 2 | 4) {
        return Err(Error::invalid("mask", "has no transparency, expected an alpha channel"));
    }
    let alpha = samples.iter().skip(channels - 1).step_by(channels);
    let grey = alpha.map(|alpha| if *alpha == 0 { u8::MAX } else { 0 }).collect();
    Image::from_samples(width, height, 1, grey)
}

/// A mask of ones (draw anew) and zeros (keep).
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Width in pixels or latents.
    pub width: usize,
    /// Height in pixels or latents.
    pub height: usize,
    /// `[height, width]` values, each 0 or 1.
    pub values: Vec<f32>,
}

impl Mask {
    /// The mask at the size of the picture to draw: resized like a picture, converted to grey and thresholded at one half,
    /// in that order. [`Error::Invalid`] if a size is zero.
    pub fn from_image(image: &Image, width: usize, height: usize) -> Result<Self> {
        let luma = image.resized(width, height)?.to_luma();
        let values = luma.into_iter().map(|grey| if grey >= THRESHOLD { 1.0 } else { 0.0 }).collect();
        Ok(Self { width, height, values })
    }

    /// The mask at the size of the latents, by nearest neighbour as in `torch.nn.functional.interpolate`.
    /// [`Error::Invalid`] if a size is zero or the fields do not agree.
    pub fn resized(&self, width: usize, height: usize) -> Result<Self> {
        check_size(width, height, 1)?;
        if self.values.is_empty() || self.values.len() != self.width * self.height {
            let got = self.values.len();
            return Err(Error::invalid("mask", format!("{got} values, expected {}x{}", self.width, self.height)));
        }
        let columns = nearest(self.width, width);
        let row = |row: usize| columns.iter().map(move |&column| self.values[row * self.width + column]);
        let values = nearest(self.height, height).into_iter().flat_map(row).collect();
        Ok(Self { width, height, values })
    }
}

/// The source position of each target position: scaled in `f32` and truncated, as in torch.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f32 / to as f32;
    (0..to).map(|target| ((target as f32 * scale) as usize).min(from.saturating_sub(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EncodeOptions, ImageFormat, Limits};

    #[test]
    fn grey_is_thresholded_at_one_half() {
        let image = Image::from_samples(4, 1, 1, vec![0, 127, 128, 255]).unwrap();
        assert_eq!(Mask::from_image(&image, 4, 1).unwrap().values, [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_latent_takes_the_top_left_of_its_pixels() {
        let mut samples = vec![0; 16 * 16];
        samples[8] = 255; // the top left pixel of the second latent
        samples[16 * 15 + 15] = 255; // the last pixel of the last one, which is not used
        let mask = Mask::from_image(&Image::from_samples(16, 16, 1, samples).unwrap(), 16, 16).unwrap();
        assert_eq!(mask.resized(2, 2).unwrap().values, [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn sizes_that_do_not_divide_pick_as_torch_does() {
        // torch.nn.functional.interpolate(torch.arange(11.)[None, None], 4)
        assert_eq!(nearest(11, 4), [0, 2, 5, 8]);
        assert_eq!(nearest(3, 7), [0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn what_is_drawn_anew_is_white_black_or_transparent() {
        let file = |color, samples: &[u8]| {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
            encoder.set_color(color);
            encoder.write_header().unwrap().write_image_data(samples).unwrap();
            bytes
        };
        let decode = |bytes: &[u8], redraw| Image::decode_mask(bytes, redraw, &Limits::default());
        let grey = file(png::ColorType::Grayscale, &[0, 255]);
        let mask = |redraw| Mask::from_image(&decode(&grey, redraw).unwrap(), 2, 1).unwrap().values;
        assert_eq!(mask(Redraw::White), [0.0, 1.0]);
        assert_eq!(mask(Redraw::Black), [1.0, 0.0]);
        let clear = file(png::ColorType::Rgba, &[9, 9, 9, 0, 255, 255, 255, 1]);
        assert_eq!(decode(&clear, Redraw::Transparent).unwrap().rgb8, [255, 255, 255, 0, 0, 0]);
        let refused = decode(&grey, Redraw::Transparent).unwrap_err().to_string();
        assert_eq!(refused, "mask: has no transparency, expected an alpha channel");
        let jpeg = Image::stub(8, 8).unwrap().encode(ImageFormat::Jpeg, &EncodeOptions::default()).unwrap();
        let refused = decode(&jpeg, Redraw::Transparent).unwrap_err().to_string();
        assert_eq!(refused, "mask: a JPEG has no transparency here, expected a PNG");
    }

    #[test]
    fn broken_masks_are_refused() {
        let mask = Mask { width: 2, height: 2, values: vec![0.0; 2] };
        assert_eq!(mask.resized(2, 2).unwrap_err().to_string(), "mask: 2 values, expected 2x2");
        assert!(mask.resized(0, 1).is_err());
    }
}
