//! The ops: each checks shapes, chooses a variant of its kernel by shape and device, and records it.
//!
//! Activations are channels-last `[n, h, w, c]`. A result has the format of the first argument unless the op says
//! otherwise; everything is accumulated in `f32`. A dispatch never runs long: large products are split into several.
//!
//! [`Activation`], [`Binary`] and [`Conv2d`] are the types of the processor's kernels, because both compute the same.

mod attention;
mod conv2d;
mod depthwise;
mod elementwise;
mod embedding;
mod layout;
mod linear;
mod norm;
mod pieces;
mod quantised;
mod tile;
mod variants;

pub use attention::{Relative, Scores, attention, attention_scored, rope};
pub use conv2d::conv2d;
pub use depthwise::depthwise;
pub use easel_cpu::Activation;
pub use easel_cpu::conv2d::Conv2d;
pub use easel_cpu::elementwise::Binary;
pub use elementwise::{activation, affine, binary, clamp, combine, exp, geglu, mean_and_std};
pub use embedding::embedding;
pub use layout::{cast, concat, narrow, permute, repeat};
pub use linear::{Epilogue, linear};
pub use norm::{LayerNorm, group_norm, layer_norm, rms_norm};
pub use quantised::{repack, repack_rows};
pub use variants::variants;

use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Buffer, Context, Dispatch, Error, Result};

/// The name of the activation in kernels.
fn activation_constant(activation: Activation) -> (&'static str, Constant) {
    let name = match activation {
        Activation::None => "none",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_tanh",
        Activation::QuickGelu => "quick_gelu",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
    };
    ("ACTIVATION", Constant::Name(name))
}

/// The most multiply-adds of one dispatch: a tenth of a second on a slow card.
const LONGEST: u64 = 100_000_000_000;

/// The most multiply-adds on a software rasteriser.
const LONGEST_IN_SOFTWARE: u64 = 1_000_000_000;

/// A dispatch without its number of workgroups.
struct Launch<'a> {
    kernel: Kernel,
    inputs: &'a [&'a Array],
    outputs: &'a [&'a Array],
    /// Words of the uniform block.
    uniforms: &'a [u32],
}

impl Launch<'_> {
    /// Records `workgroups` workgroups with `work` multiply-adds in total.
    fn run(&self, context: &Context, workgroups: usize, work: usize) -> Result<()> {
        let inputs: Vec<&Buffer> = self.inputs.iter().map(|array| array.buffer()).collect();
        let outputs: Vec<&Buffer> = self.outputs.iter().map(|array| array.buffer()).collect();
        context.dispatch(Dispatch {
            kernel: &self.kernel,
            inputs: &inputs,
            outputs: &outputs,
            uniforms: bytemuck::cast_slice(self.uniforms),
            workgroups: grid(workgroups, context.capabilities().limits.workgroups as usize),
            work: work as u64,
        })
    }

    /// Records one invocation per item, 256 per workgroup, with a few operations each.
    fn run_each(&self, context: &Context, items: usize) -> Result<()> {
        self.run(context, items.div_ceil(256), items * 8)
    }
}

/// A grid of at least `workgroups` workgroups, folded if they exceed the limit of an axis.
fn grid(workgroups: usize, most: usize) -> [u32; 3] {
    let rows = workgroups.div_ceil(most).max(1);
    [workgroups.div_ceil(rows) as u32, rows as u32, 1]
}

/// How many equal pieces of `work` multiply-adds fit into one dispatch.
fn pieces_per_dispatch(context: &Context, work: usize) -> usize {
    let longest = if context.capabilities().is_software() { LONGEST_IN_SOFTWARE } else { LONGEST };
    (longest / (work as u64).max(1)).max(1) as usize
}

/// Four elements at a time if all these sizes are multiples of four.
fn width(sizes: &[usize]) -> usize {
    if sizes.iter().all(|size| size.is_multiple_of(4)) { 4 } else { 1 }
}

fn width_constant(width: usize) -> (&'static str, Constant) {
    ("WIDTH", Constant::U32(width as u32))
}

/// Sizes as words of a uniform block. The number of elements of an array always fits a `u32`.
fn words<const N: usize>(sizes: [usize; N]) -> [u32; N] {
    sizes.map(|size| size as u32)
}

/// An activation's format, or an error that names the op and the argument.
fn activation_format(op: &'static str, array: &Array) -> Result<Format> {
    match array.format() {
        format @ (Format::F32 | Format::F16) => Ok(format),
        format => Err(array.shape_error(op, format!("an activation in F32 or F16, not {format:?},"))),
    }
}

/// Checks that this device can write results in `format`.
fn writable(context: &Context, format: Format) -> Result<Format> {
    match format {
        Format::F16 if !context.capabilities().f16 => Err(Error::Unsupported { feature: "16-bit floats (shader-f16)" }),
        format => Ok(format),
    }
}
