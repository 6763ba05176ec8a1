//! `Bitmap`: the pixels of a picture that belong to something.

use super::polygon::{self, Polygon};
use super::rle::Rle;
use crate::{Error, Result};

/// The pixels of a picture that belong to something, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    width: usize,
    height: usize,
    pixels: Vec<bool>,
}

/// Columns and rows from the first to the last pixel of something, both within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// The last column.
    pub right: usize,
    /// The last row.
    pub bottom: usize,
}

impl Bitmap {
    /// A bitmap of `height * width` pixels. [`Error::Invalid`] for another number of them, or none.
    pub fn new(width: usize, height: usize, pixels: Vec<bool>) -> Result<Self> {
        if pixels.is_empty() || width.checked_mul(height) != Some(pixels.len()) {
            return Err(Error::invalid("mask", format!("{} pixels, expected {width}x{height}", pixels.len())));
        }
        Ok(Self { width, height, pixels })
    }

    /// Its width.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its height.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// The number of pixels inside.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|inside| **inside).count()
    }

    /// The smallest box around the pixels inside; `None` if there are none.
    pub fn bounds(&self) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for (row, line) in self.pixels.chunks_exact(self.width).enumerate() {
            let Some(first) = line.iter().position(|inside| *inside) else { continue };
            let last = line.iter().rposition(|inside| *inside).unwrap_or(first);
            let before = bounds.unwrap_or(Bounds { left: first, top: row, right: last, bottom: row });
            let left = before.left.min(first);
            let right = before.right.max(last);
            bounds = Some(Bounds { left, right, bottom: row, ..before });
        }
        bounds
    }

    /// Intersection over union with another of the same size; 0 if both are empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let pairs = self.pixels.iter().zip(&other.pixels);
        let (both, either) = pairs.fold((0_usize, 0_usize), |(both, either), (a, b)| {
            (both + usize::from(*a && *b), either + usize::from(*a || *b))
        });
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    }

    /// A PNG, white inside and black outside.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let grey: Vec<u8> = self.pixels.iter().map(|inside| if *inside { u8::MAX } else { 0 }).collect();
        Ok(easel_picture::encode_grey(self.width, self.height, &grey)?)
    }

    /// COCO's run-length encoding.
    pub fn to_rle(&self) -> Rle {
        Rle::of(self)
    }

    /// The outlines of all connected parts, largest first, simplified by at most `tolerance` pixels.
    pub fn polygons(&self, tolerance: f64) -> Result<Vec<Polygon>> {
        polygon::trace(self, tolerance)
    }
}

/// A bitmap drawn with `#`.
#[cfg(test)]
pub(super) fn drawn(lines: &[&str]) -> Bitmap {
    let pixels = lines.iter().flat_map(|line| line.bytes().map(|byte| byte == b'#')).collect();
    Bitmap::new(lines[0].len(), lines.len(), pixels).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use easel_picture::{Image, Limits};

    #[test]
    fn what_is_inside_is_counted_and_bounded() {
        let bitmap = drawn(&["....", ".##.", "#..."]);
        assert_eq!(bitmap.area(), 3);
        assert_eq!(bitmap.bounds(), Some(Bounds { left: 0, top: 1, right: 2, bottom: 2 }));
        let empty = drawn(&["..", ".."]);
        assert_eq!((empty.area(), empty.bounds(), empty.iou(&empty)), (0, None, 0.0));
        assert_eq!(bitmap.iou(&drawn(&["....", ".#..", "##.."])), 0.5);
        assert!(Bitmap::new(2, 2, vec![true; 3]).is_err() && Bitmap::new(0, 0, Vec::new()).is_err());
    }

    #[test]
    fn a_png_is_white_inside() {
        let png = drawn(&["#.", ".#"]).to_png().unwrap();
        let image = Image::decode(&png, &Limits::default()).unwrap();
        assert_eq!(image.to_luma(), [255, 0, 0, 255]);
    }
}
