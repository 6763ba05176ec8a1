//! Turns a picture as its Exif orientation says (Exif 2.32, tag 0x0112): cameras store pictures as the sensor lies.

use crate::Image;
use crate::pixels::CHANNELS;

/// The picture upright. An orientation that is not from 2 to 8 leaves it as it is.
pub(super) fn upright(image: Image, orientation: u16) -> Image {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let (right, bottom) = (image.width - 1, image.height - 1);
    // From 5 on, rows become columns.
    let (width, height) = if orientation < 5 { (image.width, image.height) } else { (image.height, image.width) };
    let source = |x: usize, y: usize| match orientation {
        2 => (right - x, y),
        3 => (right - x, bottom - y),
        4 => (x, bottom - y),
        5 => (y, x),
        6 => (y, bottom - x),
        7 => (right - y, bottom - x),
        _ => (right - y, x),
    };
    let pixels = image.rgb8.as_chunks::<CHANNELS>().0;
    let pixel = |(x, y): (usize, usize)| pixels[y * image.width + x];
    let rgb8 = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(source(x, y)))).collect();
    Image { width, height, rgb8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_is_pils_exif_transpose() {
        // Pixels 0 1 2 over 3 4 5, as ImageOps.exif_transpose turns them.
        let image = Image::from_samples(3, 2, 1, (0..6).collect()).unwrap();
        let turned = |orientation| {
            let image = upright(image.clone(), orientation);
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
