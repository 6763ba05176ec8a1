//! The loops around the micro-kernel: tasks over rows and columns, then blocks of `k`, panels and tiles.

use super::few::{FEW, multiply_few};
use super::panels::widened;
use super::{Addend, Panels, Tile, multiply_part};
use crate::memory::{Floats, Lines};
use crate::parallel::{Shared, for_each_task, threads};
use crate::simd::{Kernel, Simd, copy};
use crate::{Activation, Level, Weight};
use std::cell::Cell;

/// The left-hand side: row `row` is the concatenation of `taps` pieces of `channels` floats each.
pub(crate) trait Rows: Sync {
    fn taps(&self) -> usize;
    fn channels(&self) -> usize;
    /// One piece, `channels` long; `None` stands for zeros.
    fn piece(&self, row: usize, tap: usize) -> Option<&[f32]>;
}

/// The operations on the product before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

/// `out[m, n] = act(rows[m, k] * panels[n, k]^T + bias[n] + residual[m, n])`.
pub(crate) struct Product<'a, R> {
    pub(crate) level: Level,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) rows: &'a R,
    pub(crate) panels: Panels<'a>,
    /// Whether each float of both sides is actually a pair of bfloat16 along `k`.
    pub(crate) pairs: bool,
    pub(crate) epilogue: Epilogue<'a>,
}

/// The length of the blocks of a sum over `k`: about 256, as equal as possible.
pub(crate) fn k_block(k: usize) -> usize {
    const TARGET: usize = 320;
    k.div_ceil(k.div_ceil(TARGET).max(1)).max(1)
}

/// Buffers that a thread reuses between tasks.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) pointers: Vec<*const f32>,
    pub(crate) panel: Lines,
    pub(crate) buffer: Lines,
}

/// Lends the thread's buffers. A nested call gets new ones.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    }
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = f(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

impl<R: Rows> Product<'_, R> {
    /// Computes `out` on all cores.
    pub(crate) fn run(&self, out: &mut [f32]) {
        let m = self.m;
        let n = self.n;
        assert_eq!(out.len(), m * n);
        assert!(self.epilogue.bias.is_none_or(|bias| bias.len() == n));
        assert!(self.epilogue.residual.is_none_or(|residual| residual.len() == m * n));
        if out.is_empty() {
            return;
        }
        if let Panels::Rows(weight) = self.panels
            && n <= FEW
        {
            return match weight {
                Weight::F32(weight) => multiply_few(self.level, self.rows, weight, n, self.epilogue, out),
                weight => {
                    let weight = widened(self.level, weight);
                    multiply_few(self.level, self.rows, &weight, n, self.epilogue, out);
                }
            };
        }
        let k = self.rows.taps() * self.rows.channels();
        let zeros = Floats::zeros(self.rows.channels());
        let size = task_size([m, n], self.level.run(TileSize));
        let across = n.div_ceil(size.columns);
        let out = Shared::new(out);
        for_each_task(m.div_ceil(size.rows) * across, |task| {
            let row = task / across * size.rows;
            let column = task % across * size.columns;
            let rows = [row, (row + size.rows).min(m)];
            let columns = [column, (column + size.columns).min(n)];
            let block = Block { product: self, zeros: &zeros, k, rows, columns, out };
            with_scratch(|scratch| self.level.run(BlockKernel { block, scratch }));
        });
    }
}

/// The part of a matrix for one task or one tile.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// The register tile of a level.
struct TileSize;

impl Kernel for TileSize {
    type Output = Size;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Size {
        Size { rows: S::TILE_ROWS, columns: S::TILE_COLUMNS }
    }
}

/// The size of a task in whole tiles, for a product with `m` rows and `n` columns: large enough to use a panel for many
/// rows, small enough for the second-level cache and for all threads.
pub(crate) fn task_size([m, n]: [usize; 2], tile: Size) -> Size {
    const ROWS: usize = 144;
    const COLUMNS: usize = 512;
    const TASKS_PER_THREAD: usize = 4;
    // Blocks of equal height, because a short last one would read all weights for a few rows.
    let blocks = ((m + ROWS / 2) / ROWS).max(1);
    let mut size = Size {
        rows: m.div_ceil(blocks).next_multiple_of(tile.rows),
        columns: COLUMNS.min(n).next_multiple_of(tile.columns),
    };
    let wanted = if threads() == 1 { 1 } else { TASKS_PER_THREAD * threads() };
    while m.div_ceil(size.rows) * n.div_ceil(size.columns) < wanted {
        // Reduce the columns first, so that the panels are still used for the same number of rows.
        if size.columns > 4 * tile.columns || (size.columns > tile.columns && size.rows <= 48) {
            size.columns = (size.columns / 2).next_multiple_of(tile.columns);
        } else if size.rows > 48 {
            size.rows = (size.rows / 2).next_multiple_of(tile.rows);
        } else {
            break;
        }
    }
    size
}

struct Block<'a, R> {
    product: &'a Product<'a, R>,
    zeros: &'a [f32],
    k: usize,
    rows: [usize; 2],
    columns: [usize; 2],
    out: Shared<f32>,
}

struct BlockKernel<'a, R> {
    block: Block<'a, R>,
    scratch: &'a mut Scratch,
}

impl<R: Rows> Kernel for BlockKernel<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Scratch { pointers, panel: scratch, buffer } = self.scratch;
        let block = self.block;
        let k = block.k;
        let n = block.product.n;
        let step = block.product.panels.step(k_block(block.k));
        let table = block.fill(pointers, buffer, S::TILE_ROWS);
        let scratch = scratch.at_least(step * S::TILE_COLUMNS);
        // `k == 0` still has one empty block, which stores bias and residual.
        for start in (0..k.max(1)).step_by(step) {
            let range = [start, (start + step).min(k)];
            for column in (block.columns[0]..block.columns[1]).step_by(S::TILE_COLUMNS) {
                let panel = column / S::TILE_COLUMNS;
                let weights = block.product.panels.slice(s, [n, k], panel, range, scratch);
                // SAFETY: `fill` made valid pointers for all rows and taps, and the panel holds the range.
                unsafe { block.multiply_column(s, range, column, weights.as_ptr(), &table) };
            }
        }
        block.activate(s);
    }
}

/// The addresses of a block's rows: `pointers[tap * tap_stride + row]` points to `channels` floats.
struct Table<'t> {
    pointers: &'t [*const f32],
    tap_stride: usize,
    channels: usize,
}

/// The number of channels below which a piece is too short for the micro-kernel.
const SHORT: usize = 16;

impl<R: Rows> Block<'_, R> {
    /// Sets the pointers to the pieces of the rows, with each tap padded to whole tiles. Short pieces are concatenated
    /// first.
    #[inline(always)]
    fn fill<'t>(&self, pointers: &'t mut Vec<*const f32>, buffer: &'t mut Lines, tile_rows: usize) -> Table<'t> {
        let taps = self.product.rows.taps();
        let channels = self.zeros.len();
        let stride = (self.rows[1] - self.rows[0]).next_multiple_of(tile_rows);
        pointers.clear();
        if taps > 1 && channels < SHORT {
            let buffer = &mut buffer.at_least(stride * self.k)[..stride * self.k];
            pointers.resize(stride, std::ptr::null());
            for row in 0..stride {
                let gathered = &mut buffer[row * self.k..][..self.k];
                for tap in 0..taps {
                    copy(self.piece(self.rows[0] + row, tap), &mut gathered[tap * channels..][..channels]);
                }
                pointers[row] = gathered.as_ptr();
            }
            return Table { pointers, tap_stride: stride, channels: self.k };
        }
        pointers.resize(taps * stride, std::ptr::null());
        for tap in 0..taps {
            let pointers = &mut pointers[tap * stride..][..stride];
            for row in 0..stride {
                pointers[row] = self.piece(self.rows[0] + row, tap).as_ptr();
            }
        }
        Table { pointers, tap_stride: stride, channels }
    }

    /// One piece of a row. It is zero in the padding and below the last row of the block.
    #[inline(always)]
    fn piece(&self, row: usize, tap: usize) -> &[f32] {
        let piece = if row < self.rows[1] { self.product.rows.piece(row, tap) } else { None };
        let piece = if let Some(piece) = piece { piece } else { self.zeros };
        assert!(piece.len() == self.zeros.len());
        piece
    }

    /// Multiplies one panel with all rows of the block.
    ///
    /// # Safety
    /// The table must come from `fill`, and `weights` must be the panel's slice for the range.
    #[inline(always)]
    unsafe fn multiply_column<S: Simd>(
        &self,
        s: S,
        k: [usize; 2],
        column: usize,
        weights: *const f32,
        table: &Table<'_>,
    ) {
        let Table { pointers, tap_stride, channels } = *table;
        let n = self.product.n;
        let columns = S::TILE_COLUMNS.min(n - column);
        for first in (self.rows[0]..self.rows[1]).step_by(S::TILE_ROWS) {
            let rows = S::TILE_ROWS.min(self.rows[1] - first);
            let at = first * n + column;
            // SAFETY: the rows and columns lie in this task's block of the output, which no other task touches.
            let out = unsafe { self.out.at(at) };
            let added = if k[0] > 0 { [Addend { data: out, row: n }, Addend::NONE] } else { self.added(at, column) };
            let pointers = pointers[first - self.rows[0]..].as_ptr();
            let tile_rows = if rows == 1 { 1 } else { S::TILE_ROWS };
            let pairs = self.product.pairs;
            let tile =
                Tile { rows: tile_rows, pointers, tap_stride, channels, k, weights, pairs, added, out, out_row: n };
            // SAFETY: `rows` by `columns` of the output and the addends exist; the caller guarantees the rest.
            unsafe { multiply_part(s, &tile, rows, columns) };
        }
    }

    /// The addends of the first block of `k`.
    #[inline(always)]
    fn added(&self, at: usize, column: usize) -> [Addend; 2] {
        let Epilogue { bias, residual, .. } = self.product.epilogue;
        let mut added = [Addend::NONE; 2];
        if let Some(bias) = bias {
            added[0] = Addend { data: bias[column..].as_ptr(), row: 0 };
        }
        if let Some(residual) = residual {
            added[1] = Addend { data: residual[at..].as_ptr(), row: self.product.n };
        }
        added
    }

    /// Applies the activation while the block is still in cache.
    #[inline(always)]
    fn activate<S: Simd>(&self, s: S) {
        let activation = self.product.epilogue.activation;
        if activation == Activation::None {
            return;
        }
        for row in self.rows[0]..self.rows[1] {
            let at = row * self.product.n + self.columns[0];
            // SAFETY: this part of the row belongs to this task alone.
            activation.map(s, unsafe { self.out.slice(at, self.columns[1] - self.columns[0]) });
        }
    }
}
