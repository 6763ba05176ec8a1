//! Weights as GGUF stores them, laid out for kernels.

use super::{Launch, words};
use crate::shader::{Format, Kernel};
use crate::{Array, Buffer, Context, Result};

/// Bytes of a `Q8_0` block in a file: an `f16` scale and 32 `i8`.
const BLOCK: u64 = 34;

/// A `Q8_0` weight of this shape from the bytes of a file in `raw`, which can be dropped afterwards.
///
/// # Errors
/// If rows are not whole blocks, `raw` is too small, or there is no room.
pub fn repack_q8_0(context: &Context, raw: &Buffer, shape: &[usize]) -> Result<Array> {
    const OP: &str = "repack_q8_0";
    let file = Array::new(raw.clone(), &[(raw.bytes() / 4) as usize], Format::U32)?;
    let blocks = shape.iter().product::<usize>() as u64 / 32;
    if raw.bytes() < blocks * BLOCK {
        let expected = format!("at most {} blocks of 32 in {} bytes", raw.bytes() / BLOCK, raw.bytes());
        return Err(crate::Error::Shape { op: OP, expected, got: shape.to_vec() });
    }
    let pairs = blocks.div_ceil(2);
    let quants = context.resident(pairs * 64)?;
    let scales = context.resident(pairs * 4)?;
    let outputs = [(&quants, pairs * 16), (&scales, pairs)]
        .map(|(buffer, words)| Array::new(buffer.clone(), &[words as usize], Format::U32));
    let [quant_words, scale_words] = outputs;
    // A file of an odd number of blocks ends in half a word.
    let readable = raw.bytes().div_ceil(4) as usize;
    let launch = Launch {
        kernel: kernel(),
        inputs: &[&file],
        outputs: &[&quant_words?, &scale_words?],
        uniforms: &words([pairs as usize, readable]),
    };
    launch.run(context, (pairs as usize).div_ceil(64), pairs as usize * 64)?;
    Array::q8_0(quants, scales, shape)
}

pub(super) fn kernel() -> Kernel {
    Kernel { name: "repack_q8_0", source: include_str!("../kernels/repack_q8_0.wgsl"), constants: Vec::new() }
}
