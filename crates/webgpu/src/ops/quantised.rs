//! Repacks GGUF's weights for kernels.

use super::{Launch, words};
use crate::shader::{Format, Kernel, Layout};
use crate::{Array, Buffer, Context, Result};
use easel_cpu::BlockFormat;
use std::ops::Range;

/// A weight of this shape from the file's blocks in `raw`, which can be dropped afterwards.
///
/// # Errors
/// If rows are not whole blocks, `raw` is too small, or memory is exhausted.
pub fn repack(context: &Context, raw: &Buffer, shape: &[usize], format: BlockFormat) -> Result<Array> {
    let y = Array::resident(context, shape, Format::Blocks(format))?;
    let rows = shape.first().copied().unwrap_or(0);
    repack_rows(context, raw, &y, 0..rows)?;
    Ok(y)
}

/// Repacks some rows of a weight. The first row must be a multiple of 2, where a unit of words begins.
///
/// # Errors
/// If `y` is not a quantised weight with these rows, or `raw` is too small.
pub fn repack_rows(context: &Context, raw: &Buffer, y: &Array, rows: Range<usize>) -> Result<()> {
    const OP: &str = "repack";
    let height = y.shape().first().copied().unwrap_or(0);
    let width = y.elements() / height.max(1);
    let Format::Blocks(format) = y.format() else {
        return Err(y.shape_error(OP, format!("a weight of blocks, not {:?},", y.format())));
    };
    let layout = Layout::of(format);
    let unit = layout.unit as usize;
    let blocks = rows.len() * width / format.length();
    let there = raw.bytes() / format.bytes() as u64;
    if rows.end > height || there < blocks as u64 || !(rows.start * width).is_multiple_of(unit) {
        let expected = format!("rows {rows:?} of {}, but there are {there} blocks", format.name());
        return Err(y.shape_error(OP, expected));
    }
    // A file with an odd number of blocks may end in half a word.
    let readable = raw.bytes().div_ceil(4) as usize;
    let file = Array::new(raw.clone(), &[(raw.bytes() / 4) as usize], Format::U32)?;
    let count = (rows.len() * width).div_ceil(unit);
    let uniforms = words([count, rows.start * width / unit, readable]);
    let launch = Launch { kernel: kernel(format), inputs: &[&file], outputs: &[y], uniforms: &uniforms };
    launch.run(context, count.div_ceil(256), count * unit * 8)
}

pub(super) fn kernel(format: BlockFormat) -> Kernel {
    let constants = Layout::of(format).constants();
    Kernel { name: "repack", source: include_str!("../kernels/repack.wgsl"), constants }
}
