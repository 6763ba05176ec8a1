//! Resizing, pixel for pixel like PIL (`Resample.c`): diffusers uses its Lanczos filter for pictures and masks, CLIP the
//! bicubic one, and SAM the bilinear one.
//!
//! Two passes, one along rows and one along columns, each with fixed-point weights and the result rounded to bytes.

use crate::pixels::{CHANNELS, check_size};
use crate::{Image, Result};

/// A filter of PIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Straight lines between pixels.
    Bilinear,
    /// Cubic curves with a slope of -0.5 (Catmull and Rom's).
    Bicubic,
    /// The Lanczos window with three lobes.
    Lanczos,
}

/// Fraction bits of a weight.
const PRECISION: u32 = 22;

/// The source pixels of one target pixel.
struct Window {
    /// The index of the first.
    start: usize,
    /// A weight for each, in fixed point.
    weights: Vec<i32>,
}

impl Image {
    /// The picture at another size with the Lanczos filter, without keeping the aspect ratio.
    /// [`crate::Error::Invalid`] if either size is zero or the result does not fit in memory.
    pub fn resized(&self, width: usize, height: usize) -> Result<Image> {
        self.resized_with(width, height, Filter::Lanczos)
    }

    /// The same with any filter.
    pub fn resized_with(&self, width: usize, height: usize, filter: Filter) -> Result<Image> {
        self.check()?;
        // Between the passes, one side is old and one new.
        check_size(width, height, CHANNELS)?;
        check_size(width.max(self.width), height.max(self.height), CHANNELS)?;
        if width == self.width && height == self.height {
            return Ok(self.clone());
        }
        // PIL 13's rule; earlier versions always start with the rows. The order matters, because overshoots are clamped.
        let columns_first = height < self.height && self.height - height + 2 * width > 2 * self.width;
        Ok(match (width == self.width, height == self.height) {
            (true, _) => self.resized_columns(height, filter),
            (_, true) => self.resized_rows(width, filter),
            _ if columns_first => self.resized_columns(height, filter).resized_rows(width, filter),
            _ => self.resized_rows(width, filter).resized_columns(height, filter),
        })
    }

    fn resized_rows(&self, width: usize, filter: Filter) -> Image {
        let windows = windows(self.width, width, filter);
        let mut rgb8 = Vec::with_capacity(self.height * width * CHANNELS);
        for row in self.rgb8.chunks_exact(self.width * CHANNELS) {
            for window in &windows {
                let pixels = row[window.start * CHANNELS..].as_chunks::<CHANNELS>().0;
                let mut sums = [0; CHANNELS];
                for (pixel, &weight) in pixels.iter().zip(&window.weights) {
                    for (sum, &byte) in sums.iter_mut().zip(pixel) {
                        *sum += i64::from(weight) * i64::from(byte);
                    }
                }
                rgb8.extend(sums.map(to_byte));
            }
        }
        Image { width, height: self.height, rgb8 }
    }

    fn resized_columns(&self, height: usize, filter: Filter) -> Image {
        let row = self.width * CHANNELS;
        let mut rgb8 = Vec::with_capacity(height * row);
        let mut sums = vec![0; row];
        for window in windows(self.height, height, filter) {
            sums.fill(0);
            for (bytes, &weight) in self.rgb8[window.start * row..].chunks_exact(row).zip(&window.weights) {
                for (sum, &byte) in sums.iter_mut().zip(bytes) {
                    *sum += i64::from(weight) * i64::from(byte);
                }
            }
            rgb8.extend(sums.iter().copied().map(to_byte));
        }
        Image { width: self.width, height, rgb8 }
    }
}

/// A sum of weighted bytes, rounded and clamped.
fn to_byte(sum: i64) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// The windows of all `to` target pixels over `from` source pixels.
fn windows(from: usize, to: usize, filter: Filter) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    // A shrinking window grows, so that every source pixel is seen.
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let window = |target: usize| {
        let center = (target as f64 + 0.5) * scale;
        // Casts truncate, and a negative bound becomes zero.
        let start = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |source: usize| filter.at((source as f64 - center + 0.5) / stretch);
        let weights: Vec<f64> = (start..end).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / total * f64::from(1 << PRECISION)).round() as i32;
        Window { start, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

impl Filter {
    /// Half the width of the window, in source pixels when enlarging.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a source pixel at this distance.
    fn at(self, x: f64) -> f64 {
        const SLOPE: f64 = -0.5;
        let far = x.abs();
        match self {
            Self::Bilinear if far < 1.0 => 1.0 - far,
            Self::Bicubic if far < 1.0 => ((SLOPE + 2.0) * far - (SLOPE + 3.0)) * far * far + 1.0,
            Self::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * SLOPE,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with an edge, a gradient and fine detail.
    fn picture(width: usize, height: usize) -> Image {
        let pixel = |i: usize| {
            let x = i % width;
            let y = i / width;
            [(x * 37 + y * 11) as u8, (x * y) as u8, if x > y { 255 } else { 0 }]
        };
        Image::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = picture(9, 5);
        assert_eq!(image.resized(9, 5).unwrap(), image);
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        for (width, height) in [(1, 1), (3, 40), (64, 7)] {
            assert_eq!(
                Image::stub(17, 12).unwrap().resized(width, height).unwrap(),
                Image::stub(width, height).unwrap()
            );
        }
    }

    #[test]
    fn known_pixels_match_pil() {
        let image = picture(6, 4).resized(3, 2).unwrap();
        assert_eq!(image.rgb8, [24, 0, 69, 99, 2, 246, 173, 3, 254, 45, 1, 0, 120, 6, 83, 194, 11, 249]);
        let image = picture(2, 2).resized(4, 1).unwrap();
        assert_eq!(image.rgb8, [0, 0, 0, 15, 0, 30, 34, 1, 98, 49, 1, 150]);
    }

    #[test]
    fn known_pixels_of_other_filters_match_pil() {
        let resized = |filter, width, height| picture(6, 4).resized_with(width, height, filter).unwrap().rgb8;
        let shrunk = [26, 1, 71, 99, 2, 240, 171, 2, 255, 47, 1, 0, 120, 6, 86, 192, 11, 247];
        assert_eq!(resized(Filter::Bicubic, 3, 2), shrunk);
        let shrunk = [34, 1, 78, 101, 2, 223, 167, 3, 255, 51, 1, 5, 118, 6, 100, 184, 10, 240];
        assert_eq!(resized(Filter::Bilinear, 3, 2), shrunk);
        let mixed = [11, 0, 92, 63, 0, 255, 122, 0, 255, 174, 0, 255, 18, 0, 25, 70, 1, 205, 129, 2, 255, 181, 3, 255];
        assert_eq!(resized(Filter::Bicubic, 4, 5)[..24], mixed);
        let mixed = [14, 0, 96, 66, 0, 255, 119, 0, 255, 171, 0, 255, 22, 0, 29, 74, 1, 195, 127, 2, 255, 179, 4, 255];
        assert_eq!(resized(Filter::Bilinear, 4, 5)[..24], mixed);
    }

    #[test]
    fn empty_targets_are_refused() {
        let error = picture(2, 2).resized(0, 2).unwrap_err().to_string();
        assert_eq!(error, "image: must have at least one pixel and fit in memory, got 0x2");
        let broken = Image { width: 2, height: 2, rgb8: vec![0; 3] };
        assert!(broken.resized(1, 1).is_err());
    }
}
