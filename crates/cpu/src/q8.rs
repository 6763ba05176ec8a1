//! Linear layers with weights in eight bits: GGUF's `Q8_0`, blocks of 32 along `k` with one scale each. The input is
//! rounded to blocks of the same kind, and blocks are multiplied in integers.

use crate::gemm::Epilogue;
use crate::memory::Floats;
use crate::parallel::{Shared, for_each_chunk, for_each_task};
use crate::simd::{Kernel, Simd, load_some, store_some};
use crate::{Activation, BlockFormat, Level};
use half::f16;

/// Weights of one block.
const BLOCK: usize = BlockFormat::Q8_0.length();

/// Rows of a register tile; its columns are two vectors.
const ROWS: usize = 4;
/// Rows of one task.
const TASK_ROWS: usize = 96;
/// Columns of one task.
const TASK_COLUMNS: usize = 256;

/// A matrix `[n, k]` for one level: panels of `columns` rows of the matrix.
pub(crate) struct Panels {
    columns: usize,
    blocks: usize,
    /// `[panel][block][16][columns][2]`.
    quants: Vec<i8>,
    /// `[panel][block][columns]`.
    scales: Vec<f32>,
}

impl Panels {
    /// From whole blocks: a scale in half precision, then 32 quants.
    pub(crate) fn new(level: Level, weight: &[u8], n: usize) -> Self {
        let columns = level.run(Columns);
        let weight = weight.as_chunks::<{ BlockFormat::Q8_0.bytes() }>().0;
        let blocks = weight.len().checked_div(n).unwrap_or(0);
        let panels = n.div_ceil(columns);
        let (mut quants, mut scales) =
            (vec![0; panels * blocks * BLOCK * columns], vec![0.0; panels * blocks * columns]);
        for (row, weight) in weight.chunks_exact(blocks.max(1)).enumerate() {
            let panel = row / columns;
            let column = row % columns;
            for (b, weight) in weight.iter().enumerate() {
                let at = panel * blocks + b;
                let [low, high, pairs @ ..] = weight;
                scales[at * columns + column] = f16::from_le_bytes([*low, *high]).to_f32();
                for (i, pair) in bytemuck::cast_slice(pairs).chunks_exact(2).enumerate() {
                    quants[((at * BLOCK / 2 + i) * columns + column) * 2..][..2].copy_from_slice(pair);
                }
            }
        }
        Self { columns, blocks, quants, scales }
    }
}

/// The width of a level's panels.
struct Columns;

impl Kernel for Columns {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        2 * S::LANES
    }
}

/// The input in blocks: quants of rows as pairs of 16-bit integers, and one scale per block.
struct Rounded {
    pairs: Floats,
    scales: Floats,
}

impl Rounded {
    fn new(level: Level, x: &[f32]) -> Self {
        let mut rounded = Self { pairs: Floats::take(x.len() / 2), scales: Floats::take(x.len() / BLOCK) };
        const TASK: usize = 512;
        let pairs = Shared::new(&mut rounded.pairs);
        for_each_chunk(&mut rounded.scales, TASK, |i, scales| {
            let first = i * TASK * BLOCK;
            let x = &x[first..][..scales.len() * BLOCK];
            // SAFETY: each task has its own blocks.
            let pairs = unsafe { pairs.slice(first / 2, x.len() / 2) };
            level.run(Round { x, pairs, scales });
        });
        rounded
    }
}

struct Round<'a> {
    x: &'a [f32],
    pairs: &'a mut [f32],
    scales: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let pairs = bytemuck::cast_slice_mut::<f32, i16>(self.pairs);
        let inputs = self.x.as_chunks::<BLOCK>().0;
        let outputs = pairs.as_chunks_mut::<BLOCK>().0;
        for block in 0..self.scales.len() {
            let x = &inputs[block];
            let pairs = &mut outputs[block];
            let mut largest = 0.0_f32;
            // Zero, unless there is a NaN or an infinity, which must not be hidden: the block becomes NaN.
            let mut check = 0.0;
            for x in x {
                largest = if x.abs() > largest { x.abs() } else { largest };
                check += x * 0.0;
            }
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            for i in 0..BLOCK {
                // To the nearest: the low bits of a float of this size are an integer.
                const MAGIC: f32 = 12_582_912.0;
                pairs[i] = (x[i] * inverse + MAGIC).to_bits() as i16;
            }
            self.scales[block] = largest / 127.0 + check;
        }
    }
}

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
        let [m, n, _] = self.size;
        if out.is_empty() {
            return;
        }
        let rounded = Rounded::new(self.level, x);
        let width = TASK_COLUMNS / self.panels.columns * self.panels.columns;
        let across = n.div_ceil(width);
        let out = Shared::new(out);
        for_each_task(m.div_ceil(TASK_ROWS) * across, |task| {
            let row = task / across * TASK_ROWS;
            let column = task % across * width;
            let rows = [row, (row + TASK_ROWS).min(m)];
            let columns = [column, (column + width).min(n)];
            self.level.run(Block { product: self, x: &rounded, rows, columns, out });
        });
    }
}

struct Block<'a> {
    product: &'a Product<'a>,
    x: &'a Rounded,
    rows: [usize; 2],
    columns: [usize; 2],
    out: Shared<f32>,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for column in (self.columns[0]..self.columns[1]).step_by(2 * S::LANES) {
            for row in (self.rows[0]..self.rows[1]).step_by(ROWS) {
                let sums = self.multiply(s, row, column / (2 * S::LANES));
                for i in 0..ROWS.min(self.rows[1] - row) {
                    self.store(s, row + i, column, &sums[i]);
                }
            }
        }
        let Epilogue { activation, .. } = self.product.epilogue;
        if activation != Activation::None {
            for row in self.rows[0]..self.rows[1] {
                let at = row * self.product.size[1] + self.columns[0];
                // SAFETY: this part of the row belongs to this task alone.
                activation.map(s, unsafe { self.out.slice(at, self.columns[1] - self.columns[0]) });
            }
        }
    }
}

impl Block<'_> {
    /// The products of [`ROWS`] rows (the last one again where there are fewer) with one panel.
    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, row: usize, panel: usize) -> [[S::F32; 2]; ROWS] {
        let Panels { columns, blocks, quants, scales } = self.product.panels;
        let quants = &quants[panel * blocks * BLOCK * columns..][..blocks * BLOCK * columns];
        let scales = &scales[panel * blocks * columns..][..blocks * columns];
        let pairs = bytemuck::cast_slice::<f32, i32>(&self.x.pairs);
        let mut row_pairs = [&pairs[..0]; ROWS];
        let mut row_scales = [&self.x.scales[..0]; ROWS];
        for i in 0..ROWS {
            let row = (row + i).min(self.rows[1] - 1);
            row_pairs[i] = &pairs[row * blocks * BLOCK / 2..][..blocks * BLOCK / 2];
            row_scales[i] = &self.x.scales[row * blocks..][..*blocks];
        }
        let mut sums = [[s.splat(0.0); 2]; ROWS];
        for b in 0..*blocks {
            let mut products = [[s.splat_pair(0); 2]; ROWS];
            for i in b * BLOCK / 2..(b + 1) * BLOCK / 2 {
                let weights = quants[i * 2 * columns..][..2 * columns].as_ptr();
                // SAFETY: there are `2 * columns` of them, which are two times `2 * LANES`.
                let weights = unsafe { [s.load_pairs(weights), s.load_pairs(weights.add(2 * S::LANES))] };
                for r in 0..ROWS {
                    let x = s.splat_pair(row_pairs[r][i]);
                    for v in 0..2 {
                        products[r][v] = s.dot_i16(x, weights[v], products[r][v]);
                    }
                }
            }
            let scales = &scales[b * columns..][..*columns];
            let scales = [load_some(s, &scales[..S::LANES]), load_some(s, &scales[S::LANES..])];
            for r in 0..ROWS {
                let x_scale = s.splat(row_scales[r][b]);
                for v in 0..2 {
                    let scale = s.mul(scales[v], x_scale);
                    sums[r][v] = s.mul_add(s.to_f32(products[r][v]), scale, sums[r][v]);
                }
            }
        }
        sums
    }

    /// Adds bias and residual to a row of a tile, and stores the columns that exist.
    #[inline(always)]
    fn store<S: Simd>(&self, s: S, row: usize, column: usize, sums: &[S::F32; 2]) {
        let n = self.product.size[1];
        for v in 0..2 {
            let column = column + v * S::LANES;
            let count = S::LANES.min(n.saturating_sub(column));
            if count == 0 {
                return;
            }
            let mut sum = sums[v];
            if let Some(bias) = self.product.epilogue.bias {
                sum = s.add(sum, load_some(s, &bias[column..column + count]));
            }
            if let Some(residual) = self.product.epilogue.residual {
                sum = s.add(sum, load_some(s, &residual[row * n + column..][..count]));
            }
            // SAFETY: these columns of this row belong to this task alone.
            store_some(s, sum, unsafe { self.out.slice(row * n + column, count) });
        }
    }
}
