//! Sizes as Caikit rounds them.

use crate::Error;
use crate::limits::{SIZE_MAX, SIZE_MIN};
use crate::service::Result;

/// The multiple of `step` that is nearest to `size`. A size in the middle becomes the even multiple, as Python rounds.
pub fn nearest_multiple(size: i64, step: i64) -> i64 {
    let below = size.div_euclid(step);
    let rest = size.rem_euclid(step);
    let is_above_middle = rest > step - rest || (rest == step - rest && below % 2 != 0);
    below.saturating_add(i64::from(is_above_middle)).saturating_mul(step)
}

/// A requested width or height, rounded for a model with this step.
pub(super) fn side(field: &str, asked: i64, step: u32) -> Result<u32> {
    let rounded = u32::try_from(nearest_multiple(asked, step.into()));
    rounded
        .ok()
        .filter(|side| (SIZE_MIN..=SIZE_MAX).contains(&u64::from(*side)))
        .ok_or_else(|| Error::invalid(field, format!("must be between {SIZE_MIN} and {SIZE_MAX}, got {asked}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_python_does() {
        // round(size / 8) * 8
        for (size, expected) in
            [(512, 512), (500, 496), (508, 512), (516, 512), (511, 512), (513, 512), (4, 0), (12, 16)]
        {
            assert_eq!(nearest_multiple(size, 8), expected, "{size}");
        }
        assert_eq!(nearest_multiple(520, 16), 512);
        assert_eq!(nearest_multiple(-3, 8), 0);
        assert_eq!(nearest_multiple(549, 1), 549);
        assert_eq!(nearest_multiple(i64::MAX, 8), i64::MAX);
        assert_eq!(nearest_multiple(i64::MIN, 16), i64::MIN);
    }

    #[test]
    fn a_side_is_within_the_range_once_it_is_rounded() {
        assert_eq!(side("height", 60, 8), Ok(64));
        assert_eq!(side("height", 2052, 8), Ok(2048));
        for wrong in [0, -512, 59, 2053, i64::MAX] {
            let message = side("height", wrong, 8).unwrap_err().to_string();
            assert_eq!(message, format!("height: must be between 64 and 2048, got {wrong}"));
        }
        assert!(side("height", 63, 1).is_err());
    }
}
