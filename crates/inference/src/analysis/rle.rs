//! COCO's run-length encoding of masks (`common/maskApi.c` of <https://github.com/cocodataset/cocoapi>).

use super::Bitmap;
use crate::{Error, Result};

/// Lengths of runs, column by column: pixels outside, then inside, then outside again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    /// Height and width.
    pub size: [usize; 2],
    /// The lengths; the first may be 0.
    pub counts: Vec<u32>,
}

impl Rle {
    pub(super) fn of(bitmap: &Bitmap) -> Self {
        let width = bitmap.width();
        let height = bitmap.height();
        let mut counts = Vec::new();
        let mut inside = false;
        let mut run = 0_u32;
        for i in 0..width * height {
            let pixel = bitmap.pixels()[i % height * width + i / height];
            if pixel != inside {
                counts.push(run);
                run = 0;
                inside = pixel;
            }
            run += 1;
        }
        counts.push(run);
        Self { size: [height, width], counts }
    }

    /// The mask. [`Error::Invalid`] if the lengths do not fill it exactly.
    pub fn to_bitmap(&self) -> Result<Bitmap> {
        let [height, width] = self.size;
        let total = self.counts.iter().try_fold(0_usize, |sum, run| sum.checked_add(*run as usize));
        if total.is_none() || total != height.checked_mul(width) {
            return Err(Error::invalid("counts", format!("expected runs of {height}x{width} pixels together")));
        }
        let mut pixels = vec![false; width * height];
        let mut at = 0;
        for (i, run) in self.counts.iter().enumerate() {
            for place in at..at + *run as usize {
                pixels[place % height * width + place / height] = i % 2 == 1;
            }
            at += *run as usize;
        }
        Bitmap::new(width, height, pixels)
    }

    /// The lengths as text, as pycocotools compresses them: from the fourth on, each minus the last but one, in digits of five
    /// bits from the lowest on, with the sixth bit set where more follow.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (i, run) in self.counts.iter().enumerate() {
            let before = if i > 2 { i64::from(self.counts[i - 2]) } else { 0 };
            let mut rest = i64::from(*run) - before;
            loop {
                let digit = (rest & 0x1f) as u8;
                rest >>= 5;
                let more = if digit & 0x10 == 0 { rest != 0 } else { rest != -1 };
                text.push(char::from(48 + if more { digit | 0x20 } else { digit }));
                if !more {
                    break;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::bitmap::drawn;
    use super::*;

    #[test]
    fn texts_are_those_of_pycocotools() {
        // pycocotools.mask.encode(numpy.asfortranarray(mask))
        let disc = (0..48 * 64).map(|i: usize| (i % 64).abs_diff(30).pow(2) + (i / 64).abs_diff(24).pow(2) < 400);
        let disc = Bitmap::new(64, 48, disc.collect()).unwrap();
        let text_of_disc = "Ra0=Q14L4M2M4M2N2O0O2N2O0O2O0O2O000000000000000000000001N101N101N2N101N2N3L3N3L4L`d0";
        for (mask, text) in [
            (drawn(&["...", "..."]), "6"),
            (drawn(&["##", "##"]), "04"),
            (drawn(&[".#..", "##.#", "..##"]), "11112ON1"),
            (disc, text_of_disc),
        ] {
            let rle = mask.to_rle();
            assert_eq!(rle.to_text(), text);
            assert_eq!(rle.to_bitmap().unwrap(), mask);
        }
    }

    #[test]
    fn lengths_fill_the_mask() {
        for counts in [vec![3], vec![1, 4], vec![u32::MAX, u32::MAX], vec![]] {
            let refused = Rle { size: [2, 2], counts }.to_bitmap().unwrap_err().to_string();
            assert_eq!(refused, "counts: expected runs of 2x2 pixels together");
        }
        assert!(Rle { size: [usize::MAX, 2], counts: vec![4] }.to_bitmap().is_err());
    }
}
