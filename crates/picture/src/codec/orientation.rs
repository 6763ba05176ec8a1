//! Turns a picture upright by its Exif orientation (Exif 2.32, tag 0x0112): cameras store pictures in the sensor's layout.

use super::ImageFormat;
use crate::{Image, Result};
use image::RgbImage;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::metadata::Orientation;

/// Turns the picture upright.
pub(super) fn upright(image: Image, orientation: Orientation, format: ImageFormat) -> Result<Image> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let width = super::dimension("width", image.width, format)?;
    let height = super::dimension("height", image.height, format)?;
    let Some(stored) = RgbImage::from_raw(width, height, image.rgb8) else {
        return Err(format.error("has a different number of pixels from its header"));
    };
    let turned = match orientation {
        Orientation::NoTransforms => stored,
        Orientation::FlipHorizontal => flip_horizontal(&stored),
        Orientation::Rotate180 => rotate180(&stored),
        Orientation::FlipVertical => flip_vertical(&stored),
        Orientation::Rotate90FlipH => flip_horizontal(&rotate90(&stored)),
        Orientation::Rotate90 => rotate90(&stored),
        Orientation::Rotate270FlipH => flip_horizontal(&rotate270(&stored)),
        Orientation::Rotate270 => rotate270(&stored),
    };
    let width = turned.width() as usize;
    let height = turned.height() as usize;
    Image::new(width, height, turned.into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_matches_pils_exif_transpose() {
        // Pixels 0 1 2 over 3 4 5, as ImageOps.exif_transpose turns them.
        let image = Image::from_samples(3, 2, 1, (0..6).collect()).unwrap();
        let turned = |orientation| {
            let orientation = Orientation::from_exif(orientation).unwrap_or(Orientation::NoTransforms);
            let image = upright(image.clone(), orientation, ImageFormat::Png).unwrap();
            (image.width, image.to_luma())
        };
        for same in [0, 1, 9] {
            assert_eq!(turned(same), (3, vec![0, 1, 2, 3, 4, 5]));
        }
        assert_eq!(turned(2), (3, vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(turned(3), (3, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(turned(4), (3, vec![3, 4, 5, 0, 1, 2]));
        assert_eq!(turned(5), (2, vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(turned(6), (2, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(turned(7), (2, vec![5, 2, 4, 1, 3, 0]));
        assert_eq!(turned(8), (2, vec![2, 5, 1, 4, 0, 3]));
    }
}
