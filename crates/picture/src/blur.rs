//! Blurs masks, and fills masked areas with the colours around them.

use crate::Image;
use crate::pixels::CHANNELS;

/// The standard deviations of the blurs that fill a masked area, from the widest to the narrowest, each with the number of times
/// that it is laid over the wider ones (`fill` in `modules/masking.py` of AUTOMATIC1111's web UI).
const FILLING: [(f32, usize); 5] = [(256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2)];

/// Three box blurs in a row are nearly a Gaussian.
const BOXES: f32 = 3.0;

/// Red, green and blue multiplied by the coverage, and the coverage; each from 0 to 1.
type Pixel = [f32; CHANNELS + 1];

/// Blurs a grey picture by a Gaussian with the web UI's size of window and with mirrored borders.
pub(crate) fn gaussian(grey: &[u8], width: usize, deviation: usize) -> Vec<u8> {
    if deviation == 0 || grey.is_empty() {
        return grey.to_vec();
    }
    let reach = (2.5 * deviation as f32 + 0.5) as isize;
    let weight = |offset: isize| (-0.5 * (offset as f32 / deviation as f32).powi(2)).exp();
    let weights: Vec<f32> = (-reach..=reach).map(weight).collect();
    let total: f32 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|weight| weight / total).collect();
    let values: Vec<f32> = grey.iter().map(|byte| f32::from(*byte)).collect();
    let height = grey.len() / width;
    let across = transposed(&along_rows(&values, width, &weights), width);
    let both = transposed(&along_rows(&across, height, &weights), height);
    both.into_iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect()
}

/// Replaces each value in rows of `width` by the weighted sum of its neighbours.
fn along_rows(values: &[f32], width: usize, weights: &[f32]) -> Vec<f32> {
    let reach = weights.len() / 2;
    let places: Vec<usize> = (0..width + 2 * reach).map(|at| mirrored(at as isize - reach as isize, width)).collect();
    let mut sums = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let wide: Vec<f32> = places.iter().map(|place| row[*place]).collect();
        let sum = |window: &[f32]| window.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f32>();
        sums.extend(wide.windows(weights.len()).map(sum));
    }
    sums
}

/// Columns as rows.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    (0..width).flat_map(|x| (0..height).map(move |y| values[y * width + x])).collect()
}

/// A place beyond the border, mirrored at the outermost pixel.
fn mirrored(at: isize, length: usize) -> usize {
    let period = (2 * length as isize - 2).max(1);
    let at = at.rem_euclid(period) as usize;
    if at < length { at } else { period as usize - at }
}

/// The picture with its masked area (where `mask` is not 0) filled with the colours around it.
pub(crate) fn filled(image: &Image, mask: &[u8]) -> Image {
    let pixels = image.rgb8.as_chunks::<CHANNELS>().0.iter().zip(mask);
    let around: Vec<Pixel> = pixels
        .map(|(color, mask)| {
            let kept = 1.0 - f32::from(*mask) / 255.0;
            let [r, g, b] = color.map(|byte| f32::from(byte) / 255.0 * kept);
            [r, g, b, kept]
        })
        .collect();
    let mut result = vec![[0.0; CHANNELS + 1]; around.len()];
    for (deviation, times) in FILLING {
        let blurred = boxed(&around, image.width, deviation);
        for _ in 0..times {
            lay_over(&mut result, &blurred);
        }
    }
    lay_over(&mut result, &around);
    let rgb8 = result.iter().zip(image.rgb8.as_chunks::<CHANNELS>().0).flat_map(|([r, g, b, covered], own)| {
        // A picture that is masked as a whole has no colours to fill it with.
        if *covered <= f32::EPSILON {
            return *own;
        }
        [r, g, b].map(|channel| (channel / covered * 255.0).round().clamp(0.0, 255.0) as u8)
    });
    Image { width: image.width, height: image.height, rgb8: rgb8.collect() }
}

fn lay_over(below: &mut [Pixel], above: &[Pixel]) {
    for (below, above) in below.iter_mut().zip(above) {
        let shows = 1.0 - above[CHANNELS];
        for (below, above) in below.iter_mut().zip(above) {
            *below = above + *below * shows;
        }
    }
}

/// Blurs pixels in rows of `width` by boxes that together have this standard deviation. Pixels beyond a border equal those at
/// it.
fn boxed(pixels: &[Pixel], width: usize, deviation: f32) -> Vec<Pixel> {
    let length = (12.0 * deviation * deviation / BOXES + 1.0).sqrt();
    let reach = ((length - 1.0) / 2.0).round() as usize;
    let height = pixels.len() / width.max(1);
    let mut pixels = pixels.to_vec();
    for _ in 0..BOXES as usize {
        (0..height).for_each(|row| averaged(&mut pixels, row * width, 1, width, reach));
        (0..width).for_each(|column| averaged(&mut pixels, column, width, height, reach));
    }
    pixels
}

/// Replaces each of `length` pixels, the first at `first` and the others `stride` apart, by the average of its neighbours up to
/// `reach` away.
fn averaged(pixels: &mut [Pixel], first: usize, stride: usize, length: usize, reach: usize) {
    let line: Vec<Pixel> = (0..length).map(|at| pixels[first + at * stride]).collect();
    let at = |place: isize| line[place.clamp(0, length as isize - 1) as usize];
    let reach = reach as isize;
    let mut sum = [0.0_f64; CHANNELS + 1];
    for pixel in (-reach..=reach).map(at) {
        add(&mut sum, pixel, 1.0);
    }
    let count = (2 * reach + 1) as f64;
    for place in 0..length {
        pixels[first + place * stride] = sum.map(|sum| (sum / count) as f32);
        add(&mut sum, at(place as isize + reach + 1), 1.0);
        add(&mut sum, at(place as isize - reach), -1.0);
    }
}

fn add(sum: &mut [f64; CHANNELS + 1], pixel: Pixel, sign: f64) {
    for (sum, value) in sum.iter_mut().zip(pixel) {
        *sum += sign * f64::from(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blurred_edge_is_that_of_opencv() {
        // cv2.GaussianBlur(numpy.uint8([[0] * 8 + [255] * 8]), (11, 1), 2)
        let edge: Vec<u8> = (0..16).map(|x| if x < 8 { 0 } else { 255 }).collect();
        let blurred = gaussian(&edge, 16, 2);
        assert_eq!(blurred[..4], [0, 0, 0, 2]);
        assert!(blurred.is_sorted() && blurred.iter().zip(blurred.iter().rev()).all(|(a, b)| a.abs_diff(255 - b) <= 1));
        assert_eq!(gaussian(&edge, 16, 0), edge);
        assert_eq!(gaussian(&[7; 9], 3, 64), [7; 9], "wider than the picture");
        assert_eq!(gaussian(&[9], 1, 4), [9]);
    }

    #[test]
    fn places_beyond_the_border_are_mirrored() {
        assert_eq!([-2, -1, 0, 3, 4, 5, 6].map(|at| mirrored(at, 4)), [2, 1, 0, 3, 2, 1, 0]);
        assert_eq!([-3, 0, 3].map(|at| mirrored(at, 1)), [0, 0, 0]);
    }

    #[test]
    fn boxes_average_as_far_as_they_reach() {
        let mut pixels: Vec<Pixel> = [0.0, 0.0, 3.0, 0.0, 6.0].map(|value| [value; 4]).to_vec();
        averaged(&mut pixels, 0, 1, 5, 1);
        assert_eq!(pixels.iter().map(|pixel| pixel[0]).collect::<Vec<_>>(), [0.0, 1.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn a_picture_that_is_masked_as_a_whole_stays() {
        let image = Image::stub(3, 2).unwrap();
        assert_eq!(filled(&image, &[255; 6]), image);
        assert_eq!(filled(&image, &[0; 6]), image);
    }
}
