//! Splits arrays that exceed the binding limit into pieces of rows.

use crate::Context;
use std::ops::Range;

/// The alignment of a binding's offset that every device accepts, in bytes.
const ALIGNMENT: u64 = 256;

/// The fewest runs of consecutive `rows` for which all arrays fit the binding limit. `row_bytes` are the bytes per row
/// of each array. All runs except the last are multiples of 128 rows, so that their starts are aligned.
pub(super) fn pieces(context: &Context, rows: usize, row_bytes: &[u64]) -> Vec<Range<usize>> {
    let widest = row_bytes.iter().copied().max().unwrap_or(0).max(1);
    let fitting = context.capabilities().limits.storage_binding / widest;
    // If even 128 rows do not fit, the dispatch refuses them.
    let most = if fitting >= rows as u64 { rows } else { (fitting / 128 * 128).max(128) as usize };
    runs(rows, most)
}

/// Runs of at most `most` out of `rows`.
pub(super) fn runs(rows: usize, most: usize) -> Vec<Range<usize>> {
    let most = most.max(1);
    (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
}

/// The last aligned row at or before `row`.
pub(super) fn aligned(row: usize, row_bytes: u64) -> usize {
    let mut a = ALIGNMENT;
    let mut b = row_bytes.max(1);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let rows = (ALIGNMENT / a) as usize;
    row / rows * rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_rows_start_a_binding() {
        for row_bytes in [2, 4, 12, 24, 96, 128, 160, 256, 1280, 1536] {
            for row in [0, 1, 63, 127, 128, 500] {
                let start = aligned(row, row_bytes);
                assert!(start <= row && (start as u64 * row_bytes).is_multiple_of(ALIGNMENT));
                assert!((row - start) as u64 <= ALIGNMENT, "{row_bytes}: {start} for {row}");
            }
        }
    }
}
