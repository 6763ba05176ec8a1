//! Where an inpainting draws: a black-and-white mask, made as diffusers' `mask_processor` makes it.

use crate::pixels::check_size;
use crate::{Error, Image, Result};

/// The smallest grey that counts as white: the first byte that is at least 0.5 on a scale of 0..=1.
const THRESHOLD: u8 = 128;

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
    /// The mask in the size of the picture that is drawn: resized as pictures are, turned to grey and cut at one half,
    /// in that order. [`Error::Invalid`] if a size is zero.
    pub fn from_image(image: &Image, width: usize, height: usize) -> Result<Self> {
        let luma = image.resized(width, height)?.to_luma();
        let values = luma.into_iter().map(|grey| if grey >= THRESHOLD { 1.0 } else { 0.0 }).collect();
        Ok(Self { width, height, values })
    }

    /// The mask in the size of the latents, each taking its nearest value as `torch.nn.functional.interpolate` picks it.
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

/// The source position of each target position: scaled in `f32` and cut, as in torch.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f32 / to as f32;
    (0..to).map(|target| ((target as f32 * scale) as usize).min(from.saturating_sub(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_cut_at_one_half() {
        let image = Image::from_samples(4, 1, 1, vec![0, 127, 128, 255]).unwrap();
        assert_eq!(Mask::from_image(&image, 4, 1).unwrap().values, [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_latent_takes_the_top_left_of_its_pixels() {
        let mut samples = vec![0; 16 * 16];
        samples[8] = 255; // the top left pixel of the second latent
        samples[16 * 15 + 15] = 255; // the last pixel of the last one, which is not looked at
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
    fn broken_masks_are_refused() {
        let mask = Mask { width: 2, height: 2, values: vec![0.0; 2] };
        assert_eq!(mask.resized(2, 2).unwrap_err().to_string(), "mask: 2 values, expected 2x2");
        assert!(mask.resized(0, 1).is_err());
    }
}
