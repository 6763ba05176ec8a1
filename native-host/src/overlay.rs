//! A picture with masks and the outlines of polygons drawn over it.

use easel_inference::analysis::{Bitmap, Polygon};
use easel_picture::Image;

/// Colours that are far apart, also for people who see fewer (Okabe and Ito's).
const COLORS: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]];

/// The names of the colours, in their order.
pub const COLOR_NAMES: [&str; 7] = ["orange", "light blue", "green", "yellow", "blue", "red", "pink"];

/// The picture, and over it each mask in a colour of its own with its outlines. The colours repeat after the last one.
pub fn draw<'a>(image: &Image, cuts: impl IntoIterator<Item = (&'a Bitmap, &'a [Polygon])>) -> Image {
    let mut drawn = image.clone();
    // Smaller masks last: larger ones would hide them.
    let mut order: Vec<_> = COLORS.into_iter().cycle().zip(cuts).collect();
    order.sort_by_key(|(_, (mask, _))| std::cmp::Reverse(mask.area()));
    for (color, (mask, polygons)) in order {
        for (pixel, inside) in drawn.rgb8.as_chunks_mut::<3>().0.iter_mut().zip(mask.pixels()) {
            if *inside {
                *pixel = mixed(*pixel, color);
            }
        }
        polygons.iter().for_each(|polygon| outline(&mut drawn, polygon, color));
    }
    drawn
}

/// Half of each.
fn mixed(a: [u8; 3], b: [u8; 3]) -> [u8; 3] {
    [0, 1, 2].map(|i| (u16::from(a[i]) + u16::from(b[i])).div_ceil(2) as u8)
}

/// Draws the rings of a polygon, two pixels wide.
fn outline(image: &mut Image, polygon: &Polygon, color: [u8; 3]) {
    for ring in polygon.rings() {
        for (from, to) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            let steps = (to[0] - from[0]).abs().max((to[1] - from[1]).abs()).ceil().max(1.0);
            for step in 0..=steps as usize {
                let share = step as f64 / steps;
                let at = [0, 1].map(|axis| from[axis] + share * (to[axis] - from[axis]));
                dot(image, at, color);
            }
        }
    }
}

fn dot(image: &mut Image, [x, y]: [f64; 2], color: [u8; 3]) {
    for (dx, dy) in [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)] {
        // Below zero becomes zero, and beyond the picture is nothing.
        let column = (x + dx).floor() as usize;
        let row = (y + dy).floor() as usize;
        if column < image.width && row < image.height {
            image.rgb8[(row * image.width + column) * 3..][..3].copy_from_slice(&color);
        }
    }
}
