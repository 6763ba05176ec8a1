//! Masks as polygons.

use easel_inference::Result;
use easel_inference::analysis::{Bitmap, Polygon};
use easel_web_common::to_js;
use js_sys::Array;
use wasm_bindgen::prelude::*;

/// The outlines of a mask of `width` by `mask.len() / width` pixels, nonzero inside: for each connected part, largest first,
/// an array of rings, the outer one and then the holes; each ring is an array of x and y in turn, in pixels. They deviate by
/// at most `tolerance` pixels.
#[wasm_bindgen]
pub fn polygons(mask: &[u8], width: usize, tolerance: f64) -> Result<Array, JsValue> {
    let traced = trace(mask, width, tolerance).map_err(to_js)?;
    let ring = |ring: &Vec<[f64; 2]>| JsValue::from(js_sys::Float64Array::from(ring.as_flattened()));
    Ok(traced.iter().map(|polygon| polygon.rings().map(ring).collect::<Array>()).collect())
}

fn trace(mask: &[u8], width: usize, tolerance: f64) -> Result<Vec<Polygon>> {
    let pixels = mask.iter().map(|level| *level != 0).collect();
    Bitmap::new(width, mask.len() / width.max(1), pixels)?.polygons(tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_outlines_with_holes_and_another_size_is_refused() {
        let mask = [1, 1, 1, 1, 0, 1, 1, 1, 1];
        let traced = trace(&mask, 3, 0.0).unwrap();
        assert_eq!((traced.len(), traced[0].holes.len()), (1, 1));
        assert_eq!(trace(&mask, 4, 0.0).unwrap_err().to_string(), "mask: 9 pixels, expected 4x2");
        assert!(trace(&mask, 0, 0.0).is_err() && trace(&mask, 3, f64::NAN).is_err());
    }
}
