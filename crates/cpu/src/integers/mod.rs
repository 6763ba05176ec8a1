//! Linear layers with quantised weights in integer arithmetic, as in llama.cpp and stable-diffusion.cpp.
//!
//! The input is rounded to signed bytes with one scale per 32 (`inputs`). 32 products at a time are summed exactly
//! before scales are applied (`tile`). The weights keep the bits of their format, in reading order (`panels`), and are
//! unpacked slice by slice for all rows of a task (`unpack`).
//!
//! # When integers are used
//!
//! The caller decides by packing with [`PackedWeight::integers`](crate::PackedWeight::integers). The decision may
//! depend on the format and the level, but not on the number of rows, because a picture would then change with its
//! batch. Nothing is lost by that: widening is not faster with many rows either. On one core of an Ice Lake server at
//! 3072x3072, in 10^9 operations per second of processor time (`examples/bench`):
//!
//! | rows | f32 | Q4_0 widened, integers | Q8_0 | Q4_K | Q6_K |
//! | --- | --- | --- | --- | --- | --- |
//! | 1 | 5 | 3, 32 | 3, 17 | 2, 39 | 1, 15 |
//! | 77 | 63 | 56, 204 | 77, 258 | 64, 206 | 42, 205 |
//!
//! At 1536x1536 with 1024 rows integers reach 200 to 259 in all formats, floats 97. With AVX2 and 77 rows of 1536 they
//! reach 142 in `Q4_0` (floats: 59), 72 in `Q8_0` and 68 in `Q6_K`.
//!
//! In two cases integers are slower ([`Level::prefers_integers`]): without vector instructions, by a factor of five,
//! and for `Q8_0` with AVX-512 but without VNNI, with 58 instead of 78 at 256 rows of 1536, although a single row takes
//! an eighth of the time.
//!
//! # Accuracy
//!
//! The weights are exact. The only error besides the rounding of `f32` sums is that of the input: half a step, where a
//! step is a block's largest input divided by 127. For normal inputs that is 0.5 % of a product's size (root mean
//! square, any format), no more than the error of quantising the weights: 0.5 % in `Q8_0`, 1.7 % in `Q6_K`, 7 % in
//! `Q4_K`. `tests/conformance/integers.rs` has both for every format.

mod inputs;
mod panels;
mod tile;
mod unpack;

pub(crate) use panels::Panels;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "relaxed-simd"))]
pub(crate) use tile::Dot;
pub(crate) use tile::{BlockTile, Order, Pairs, Width, multiply};

use crate::gemm::{Epilogue, Scratch, Size, task_size, with_scratch};
use crate::parallel::{Shared, for_each_task};
use crate::simd::{Kernel, Simd, fill, load_some, store_some};
use crate::{Activation, Level};
use inputs::{Inputs, Rounding};
use unpack::{Room, SLICE, unpack};

/// A product with quantised weights.
pub(crate) struct Product<'a> {
    pub(crate) level: Level,
    pub(crate) size: [usize; 3],
    pub(crate) panels: &'a Panels,
    pub(crate) epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// `out[m, n] = act(x[m, k] * weight[n, k]^T + bias + residual)`.
    pub(crate) fn run(&self, x: &[f32], out: &mut [f32]) {
        let [m, n, k] = self.size;
        if out.is_empty() {
            return;
        }
        let shape = self.panels.shape;
        let inputs = Inputs::new(self.level, x, [m, k], shape.tile.rows, self.rounding());
        let size = task_size([m, n], shape.tile);
        let across = n.div_ceil(size.columns);
        let out = Shared::new(out);
        for_each_task(m.div_ceil(size.rows) * across, |task| {
            let Size { rows, columns } = size;
            let row = task / across * rows;
            let column = task % across * columns;
            let rows = [row, (row + rows).min(m)];
            let columns = [column, (column + columns).min(n)];
            let block = Block { product: self, inputs: &inputs, rows, columns, out };
            with_scratch(|scratch| self.level.run(BlockKernel { block, scratch }));
        });
    }

    fn rounding(&self) -> Rounding {
        let scheme = self.panels.format.scheme();
        let order = self.panels.shape.order;
        let offset = if order.is_raised { 128 } else { scheme.offset };
        Rounding { order, groups: 32 / scheme.shared, offset, least: scheme.least }
    }
}

/// The part of the output for one task.
struct Block<'a> {
    product: &'a Product<'a>,
    inputs: &'a Inputs,
    rows: [usize; 2],
    columns: [usize; 2],
    out: Shared<f32>,
}

struct BlockKernel<'a> {
    block: Block<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for BlockKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { block, scratch } = self;
        let width = S::BLOCK_VECTORS * S::LANES;
        let height = (block.rows[1] - block.rows[0]).next_multiple_of(S::BLOCK_ROWS);
        let sums = &mut scratch.buffer.at_least(height * width)[..height * width];
        let floats = &mut scratch.panel.at_least(Room::floats(width))[..Room::floats(width)];
        let mut room = Room::new(floats, width);
        for column in (block.columns[0]..block.columns[1]).step_by(width) {
            fill(sums, 0.0);
            block.multiply_panel(s, column / width, &mut room, sums);
            for row in block.rows[0]..block.rows[1] {
                block.store(s, row, column, &sums[(row - block.rows[0]) * width..][..width]);
            }
        }
        block.activate(s);
    }
}

impl Block<'_> {
    /// Adds the products of all rows with a panel to `sums`.
    #[inline(always)]
    fn multiply_panel<S: Simd>(&self, s: S, panel: usize, room: &mut Room<'_>, sums: &mut [f32]) {
        let width = S::BLOCK_VECTORS * S::LANES;
        let panels = self.product.panels;
        let scheme = panels.format.scheme();
        let length = panels.format.length();
        let record = panels.shape.order.record();
        let step = SLICE / length;
        for first in (0..panels.blocks).step_by(step) {
            let last = (first + step).min(panels.blocks);
            let slice = unpack(s, panels, panel, [first, last], room);
            for row in (self.rows[0]..self.rows[1]).step_by(S::BLOCK_ROWS) {
                let tile = BlockTile {
                    width: scheme.width(),
                    rows: if self.rows[1] - row == 1 { 1 } else { S::BLOCK_ROWS },
                    blocks: (last - first) * length / 32,
                    groups: 32 / scheme.shared,
                    inputs: self.inputs.block(row, first * length / 32, record),
                    input_row: self.inputs.row(),
                    quants: slice.quants,
                    stride: slice.stride,
                    scales: slice.scales,
                    least: slice.least,
                    sums: sums[(row - self.rows[0]) * width..].as_mut_ptr(),
                };
                // SAFETY: inputs and sums reach to the end of a whole tile, and the slice has all of these blocks.
                unsafe { s.multiply_blocks(&tile) };
            }
        }
    }

    /// Adds bias and residual to the sums of a row of a tile, and stores the columns that exist.
    #[inline(always)]
    fn store<S: Simd>(&self, s: S, row: usize, column: usize, sums: &[f32]) {
        let n = self.product.size[1];
        let Epilogue { bias, residual, .. } = self.product.epilogue;
        let end = (column + sums.len()).min(n);
        for column_of_vector in (column..end).step_by(S::LANES) {
            let count = S::LANES.min(end - column_of_vector);
            let mut sum = load_some(s, &sums[column_of_vector - column..]);
            if let Some(bias) = bias {
                sum = s.add(sum, load_some(s, &bias[column_of_vector..][..count]));
            }
            if let Some(residual) = residual {
                sum = s.add(sum, load_some(s, &residual[row * n + column_of_vector..][..count]));
            }
            // SAFETY: these columns of this row belong to this task alone.
            store_some(s, sum, unsafe { self.out.slice(row * n + column_of_vector, count) });
        }
    }

    /// Applies the activation while the block is still in cache.
    #[inline(always)]
    fn activate<S: Simd>(&self, s: S) {
        let Epilogue { activation, .. } = self.product.epilogue;
        if activation == Activation::None {
            return;
        }
        for row in self.rows[0]..self.rows[1] {
            let at = row * self.product.size[1] + self.columns[0];
            // SAFETY: this part of the row belongs to this task alone.
            activation.map(s, unsafe { self.out.slice(at, self.columns[1] - self.columns[0]) });
        }
    }
}
