//! Weights as GGUF stores them, laid out for kernels.

use super::{Launch, words};
use crate::shader::{Format, Kernel};
use crate::{Array, Buffer, Context, Result};
use std::ops::Range;

/// Bytes of a `Q8_0` block in a file: an `f16` scale and 32 `i8`.
const BLOCK: u64 = 34;

/// A `Q8_0` weight of this shape from the bytes of a file in `raw`, which can be dropped afterwards.
///
/// # Errors
/// If rows are not whole blocks, `raw` is too small, or there is no room.
pub fn repack_q8_0(context: &Context, raw: &Buffer, shape: &[usize]) -> Result<Array> {
    let y = Array::resident(context, shape, Format::Q8_0)?;
    let rows = shape.first().copied().unwrap_or(0);
    repack_q8_0_rows(context, raw, &y, 0..rows)?;
    Ok(y)
}

/// The same for some rows of a `Q8_0` weight. The first row is a multiple of 128.
///
/// # Errors
/// If `y` is no `Q8_0` weight with these rows, or `raw` is too small.
pub fn repack_q8_0_rows(context: &Context, raw: &Buffer, y: &Array, rows: Range<usize>) -> Result<()> {
    const OP: &str = "repack_q8_0";
    let height = y.shape().first().copied().unwrap_or(0);
    let blocks_per_row = y.elements() / height.max(1) / 32;
    let blocks = (rows.len() * blocks_per_row) as u64;
    let scales = y.scales().filter(|_| rows.end <= height && raw.bytes() >= blocks * BLOCK);
    let Some(scales) = scales else {
        let expected = format!("rows {rows:?} of Q8_0, but {} bytes hold {} blocks", raw.bytes(), raw.bytes() / BLOCK);
        return Err(y.shape_error(OP, expected));
    };
    let pairs = blocks.div_ceil(2);
    let first = (rows.start * blocks_per_row) as u64;
    let words_of = |buffer: &Buffer, offset, words: u64| {
        Array::new(buffer.slice(offset, words * 4)?, &[words as usize], Format::U32)
    };
    let file = Array::new(raw.clone(), &[(raw.bytes() / 4) as usize], Format::U32)?;
    let quants = words_of(y.buffer(), first * 32, pairs * 16)?;
    let scales = words_of(scales, first * 2, pairs)?;
    // A file of an odd number of blocks ends in half a word.
    let readable = raw.bytes().div_ceil(4) as usize;
    let uniforms = words([pairs as usize, readable]);
    let launch = Launch { kernel: kernel(), inputs: &[&file], outputs: &[&quants, &scales], uniforms: &uniforms };
    launch.run_each(context, pairs as usize)
}

pub(super) fn kernel() -> Kernel {
    Kernel { name: "repack_q8_0", source: include_str!("../kernels/repack_q8_0.wgsl"), constants: Vec::new() }
}
