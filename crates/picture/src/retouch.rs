//! Prepares a masked area of a picture for drawing, and pastes the drawing back, as AUTOMATIC1111's web UI does
//! (`modules/masking.py` and `StableDiffusionProcessingImg2Img` in `modules/processing.py`).
//!
//! The drawing fades out where the mask is blurred. Pixels that the blurred mask does not touch keep their bytes.

use crate::blur::{filled, gaussian};
use crate::pixels::{CHANNELS, check_size};
use crate::{Image, Result};

/// The smallest grey that counts as white.
const THRESHOLD: u8 = 128;

/// How a masked area is prepared and pasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retouching {
    /// The standard deviation of the mask's blur in pixels.
    pub blur: usize,
    /// If set, only the masked area and this many pixels around it are drawn, in the size of the drawing.
    pub margin: Option<usize>,
    /// Whether to start from the colours around the area instead of its own.
    pub fill: bool,
}

/// A picture with a masked area that is drawn anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Retouch {
    /// The initial picture in the size of the drawing.
    pub start: Image,
    /// The area to draw, white, in the same size. `None` stands for all of it.
    pub mask: Option<Image>,
    /// The rest of the picture. `None` if all of it is drawn anew.
    kept: Option<Kept>,
}

/// The picture that the drawing is pasted into.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    picture: Image,
    /// The share of the drawing in each pixel: 0 for the old pixel, 255 for the new one.
    alpha: Vec<u8>,
    region: Region,
}

/// A rectangle in a picture: its left top corner and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Retouch {
    /// Prepares a picture for a drawing of `width` by `height` where `mask` is white. With a margin, a mask without any white
    /// stands for the whole picture.
    ///
    /// # Errors
    /// [`Invalid`](crate::Error::Invalid) if a size is zero.
    pub fn new(picture: &Image, mask: &Image, width: usize, height: usize, how: Retouching) -> Result<Self> {
        check_size(width, height, CHANNELS)?;
        let picture = if how.margin.is_some() { picture.clone() } else { picture.resized(width, height)? };
        let luma = mask.resized(picture.width, picture.height)?.to_luma();
        let sharp: Vec<u8> = luma.into_iter().map(|grey| if grey >= THRESHOLD { u8::MAX } else { 0 }).collect();
        let mut alpha = gaussian(&sharp, picture.width, how.blur);
        let whole = Region { x: 0, y: 0, width: picture.width, height: picture.height };
        let region = match how.margin {
            None => {
                // In the web UI the blurred edge lies outside the mask.
                alpha.iter_mut().for_each(|alpha| *alpha = alpha.saturating_mul(2));
                whole
            }
            Some(margin) => match Region::around(&alpha, whole, margin) {
                Some(region) => region.expanded(width, height, whole),
                None => return Ok(Self { start: picture.resized(width, height)?, mask: None, kept: None }),
            },
        };
        let mask = Image::from_samples(picture.width, picture.height, 1, alpha.clone())?;
        let mask = mask.cropped(region).resized(width, height)?;
        let start = picture.cropped(region).resized(width, height)?;
        let start = if how.fill { filled(&start, &mask.to_luma()) } else { start };
        Ok(Self { start, mask: Some(mask), kept: Some(Kept { picture, alpha, region }) })
    }

    /// The picture with the drawing pasted into it.
    ///
    /// # Errors
    /// [`Invalid`](crate::Error::Invalid) if the drawing has no pixels.
    pub fn finish(&self, drawn: Image) -> Result<Image> {
        let Some(Kept { picture, alpha, region }) = &self.kept else { return Ok(drawn) };
        let drawn = drawn.resized(region.width, region.height)?;
        let mut result = picture.clone();
        for y in 0..region.height {
            for x in 0..region.width {
                let at = (region.y + y) * picture.width + region.x + x;
                let new = &drawn.rgb8[(y * region.width + x) * CHANNELS..][..CHANNELS];
                let old = &mut result.rgb8[at * CHANNELS..][..CHANNELS];
                for (old, new) in old.iter_mut().zip(new) {
                    *old = mixed(*old, *new, alpha[at]);
                }
            }
        }
        Ok(result)
    }
}

/// `new` over `old`, rounded to the nearest byte.
fn mixed(old: u8, new: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    ((u32::from(new) * alpha + u32::from(old) * (255 - alpha) + 127) / 255) as u8
}

impl Region {
    /// The smallest rectangle with all pixels above zero and `margin` pixels around them. `None` if all are zero.
    fn around(alpha: &[u8], whole: Self, margin: usize) -> Option<Self> {
        let rows = || alpha.chunks_exact(whole.width);
        let is_touched = |row: &[u8]| row.iter().any(|alpha| *alpha > 0);
        let top = rows().position(is_touched)?;
        let bottom = rows().rposition(is_touched)? + 1;
        let left = rows().filter_map(|row| row.iter().position(|alpha| *alpha > 0)).min()?;
        let right = rows().filter_map(|row| row.iter().rposition(|alpha| *alpha > 0)).max()? + 1;
        let x = left.saturating_sub(margin);
        let y = top.saturating_sub(margin);
        let width = right.saturating_add(margin).min(whole.width) - x;
        let height = bottom.saturating_add(margin).min(whole.height) - y;
        Some(Self { x, y, width, height })
    }

    /// The same rectangle, widened to the proportions of the drawing as far as the picture allows.
    fn expanded(self, width: usize, height: usize, whole: Self) -> Self {
        let shape = width as f64 / height as f64;
        if self.width as f64 / self.height as f64 > shape {
            let wanted = (self.width as f64 / shape) as usize;
            let (y, height) = stretched(self.y, self.height, wanted, whole.height);
            Self { y, height, ..self }
        } else {
            let wanted = (self.height as f64 * shape) as usize;
            let (x, width) = stretched(self.x, self.width, wanted, whole.width);
            Self { x, width, ..self }
        }
    }
}

/// A range of `length` from `start`, lengthened to `wanted` on both sides within `0..most`: its start and its length.
fn stretched(start: usize, length: usize, wanted: usize, most: usize) -> (usize, usize) {
    let longer = wanted.max(length).min(most);
    let before = (longer - length) / 2;
    (start.saturating_sub(before).min(most - longer), longer)
}

impl Image {
    /// The pixels in a rectangle that lies within the picture.
    fn cropped(&self, region: Region) -> Image {
        let rows = self.rgb8.chunks_exact(self.width * CHANNELS).skip(region.y).take(region.height);
        let rgb8 = rows.flat_map(|row| &row[region.x * CHANNELS..][..region.width * CHANNELS]).copied().collect();
        Image { width: region.width, height: region.height, rgb8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, of: impl Fn(usize, usize) -> u8) -> Image {
        let samples = (0..width * height).map(|at| of(at % width, at / width)).collect();
        Image::from_samples(width, height, 1, samples).unwrap()
    }

    /// White in a square of 8 pixels whose left top corner is here.
    fn square(x: usize, y: usize) -> impl Fn(usize, usize) -> u8 {
        move |column, row| if (x..x + 8).contains(&column) && (y..y + 8).contains(&row) { 255 } else { 0 }
    }

    fn drawn(retouch: &Retouch) -> Image {
        grey(retouch.start.width, retouch.start.height, |_, _| 200)
    }

    #[test]
    fn without_a_blur_every_other_pixel_keeps_its_bytes() {
        let picture = grey(64, 64, |x, y| (x + y) as u8);
        let mask = grey(64, 64, square(20, 30));
        let retouch = Retouch::new(&picture, &mask, 64, 64, Retouching::default()).unwrap();
        assert_eq!((&retouch.start, retouch.mask.as_ref()), (&picture, Some(&mask)));
        let result = retouch.finish(drawn(&retouch)).unwrap();
        assert_eq!(result, grey(64, 64, |x, y| if square(20, 30)(x, y) == 255 { 200 } else { (x + y) as u8 }));
    }

    #[test]
    fn a_blurred_edge_begins_at_the_edge_of_the_mask() {
        let picture = grey(64, 64, |_, _| 100);
        let how = Retouching { blur: 2, ..Retouching::default() };
        let retouch = Retouch::new(&picture, &grey(64, 64, square(20, 30)), 64, 64, how).unwrap();
        let result = retouch.finish(drawn(&retouch)).unwrap().to_luma();
        let row = &result[34 * 64..][..64];
        assert!(row[20..28].iter().all(|grey| *grey >= 190), "{row:?}");
        assert!(row[28..33].is_sorted_by(|a, b| a > b) && row[28] > 150 && row[34..].iter().all(|grey| *grey == 100));
    }

    #[test]
    fn only_the_masked_area_is_drawn_and_pasted_into_the_picture() {
        let picture = grey(256, 128, |x, y| (x / 2 + y) as u8);
        let how = Retouching { margin: Some(4), ..Retouching::default() };
        let retouch = Retouch::new(&picture, &grey(256, 128, square(200, 40)), 64, 64, how).unwrap();
        // The square and four pixels around it, four times as large.
        let region = Region { x: 196, y: 36, width: 16, height: 16 };
        assert_eq!(retouch.start, picture.cropped(region).resized(64, 64).unwrap());
        let result = retouch.finish(drawn(&retouch)).unwrap();
        assert_eq!(result, grey(256, 128, |x, y| if square(200, 40)(x, y) == 255 { 200 } else { (x / 2 + y) as u8 }));
    }

    #[test]
    fn the_rectangle_gets_the_proportions_of_the_drawing_within_the_picture() {
        let whole = Region { x: 0, y: 0, width: 100, height: 60 };
        let part = |x, y| Region { x, y, width: 10, height: 20 };
        assert_eq!(part(40, 20).expanded(64, 64, whole), Region { x: 35, y: 20, width: 20, height: 20 });
        assert_eq!(part(0, 20).expanded(64, 64, whole), Region { x: 0, y: 20, width: 20, height: 20 });
        assert_eq!(part(90, 20).expanded(64, 64, whole), Region { x: 80, y: 20, width: 20, height: 20 });
        assert_eq!(part(40, 20).expanded(64, 512, whole), Region { x: 40, y: 0, width: 10, height: 60 });
    }

    #[test]
    fn a_black_mask_with_a_margin_stands_for_the_whole_picture() {
        let picture = grey(32, 32, |x, _| x as u8);
        let how = Retouching { blur: 4, margin: Some(8), fill: true };
        let retouch = Retouch::new(&picture, &grey(8, 8, |_, _| 0), 64, 64, how).unwrap();
        assert_eq!((&retouch.start, &retouch.mask), (&picture.resized(64, 64).unwrap(), &None));
        assert_eq!(retouch.finish(drawn(&retouch)).unwrap(), drawn(&retouch));
    }

    #[test]
    fn a_masked_area_may_start_from_the_colours_around_it() {
        let mask = grey(64, 64, square(20, 30));
        let picture = grey(64, 64, |x, y| if square(20, 30)(x, y) == 255 { 0 } else { 150 });
        let how = Retouching { fill: true, ..Retouching::default() };
        let start = Retouch::new(&picture, &mask, 64, 64, how).unwrap().start;
        assert!(start.rgb8.iter().all(|byte| byte.abs_diff(150) <= 2), "{:?}", &start.to_luma()[34 * 64..][..64]);
    }

    #[test]
    fn a_size_of_zero_is_refused() {
        let picture = grey(8, 8, |_, _| 0);
        assert!(Retouch::new(&picture, &picture, 0, 8, Retouching::default()).is_err());
    }
}
