//! 3x3 convolution with stride 1 by Winograd's F(2x2, 3x3) (<https://arxiv.org/abs/1509.09308>): sixteen
//! multiplications for four outputs instead of thirty-six.
//!
//! Input tiles of 4x4, overlapping by two, and the kernels are transformed; each of the sixteen positions is then a
//! matrix product over the channels, and the 4x4 products become 2x2 outputs. The transforms only add and halve, so the
//! error is at most about twice that of the direct sum (F(4x4, 3x3) would be faster, but loses a digit).

mod transforms;

use crate::Level;
use crate::conv2d::{Conv2dShape, Patches};
use crate::gemm::{Addend, Epilogue, Panels, Scratch, Tile, TileColumns, with_scratch};
use crate::memory::{Floats, Lines};
use crate::parallel::{Shared, for_each_task, threads};
use crate::simd::{Kernel, Simd, load_some, store_some};
use transforms::{kernel_transform, output_transform, transform_twice};

/// Tiles of one task: a multiple of every level's tile rows.
const TILES: usize = 24;
/// Input channels transformed at a time: the fastest measured size with AVX2. Products are rarely read back for
/// accumulation.
const CHANNELS: usize = 320;
/// Output channels of one task.
const COLUMNS: usize = 128;
/// Floats between the positions of transformed kernels: planes a multiple of a page apart would share cache sets.
const GAP: usize = 16;
/// The fewest tasks per thread in each group of output channels.
const TASKS_PER_THREAD: usize = 2;
/// Floats of transformed weights kept at a time: 8 MiB, for the last-level cache.
const WEIGHTS: usize = 2 << 20;

/// Whether Winograd's method is faster: the kernel must be suitable, and there must be enough pixels to amortise the
/// transform of the weights.
///
/// The answer only depends on a single picture, so that the batch does not change the arithmetic.
pub(crate) fn pays(level: Level, shape: &Conv2dShape) -> bool {
    shape.kernel == [3, 3]
        && shape.stride == 1
        && shape.output[0] * shape.output[1] >= level.run(LeastPixels)
        && shape.in_channels >= 32
        && shape.out_channels >= 32
}

/// The slower a level multiplies, the fewer pixels are enough.
struct LeastPixels;

impl Kernel for LeastPixels {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::WINOGRAD_PIXELS
    }
}

/// `out = act(conv(patches, panels) + bias + residual)` where [`pays`] is true.
pub(crate) fn convolve(
    level: Level,
    patches: &Patches<'_>,
    panels: Panels<'_>,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let c = patches.shape.in_channels;
    let n = patches.shape.out_channels;
    let width = level.run(TileColumns);
    let panel_len = 16 * (c * width + GAP);
    let group = group(width, panel_len, n);
    let zeros = Floats::zeros(c);
    let mut transformed = Floats::take(group / width * panel_len);
    let out = Shared::new(out);
    for first in (0..n).step_by(group) {
        let columns = group.min(n - first);
        let weights = &mut transformed[..columns.div_ceil(width) * panel_len];
        transform_weights(level, panels, [n, c], first / width, weights);
        let call = Call { patches, zeros: &zeros, weights, first, columns, epilogue, out };
        call.run(level);
    }
}

/// Output channels whose weights are transformed at a time.
fn group(width: usize, panel_len: usize, n: usize) -> usize {
    (WEIGHTS / panel_len * width).clamp(width, n.next_multiple_of(width))
}

/// Floats of the weights that are transformed at a time, if [`pays`] is true.
pub(crate) fn kept_weights(level: Level, shape: &Conv2dShape) -> Option<usize> {
    let width = level.run(TileColumns);
    let panel_len = 16 * (shape.in_channels * width + GAP);
    pays(level, shape).then(|| group(width, panel_len, shape.out_channels) / width * panel_len)
}

/// `G g G^T` for the panels from `first`: `weights[panel][16][c * width + GAP]`.
fn transform_weights(level: Level, panels: Panels<'_>, shape: [usize; 2], first: usize, weights: &mut [f32]) {
    let panel_len = 16 * (level.run(TileColumns) * shape[1] + GAP);
    let count = weights.len() / panel_len;
    let weights = Shared::new(weights);
    for_each_task(count, |i| {
        // SAFETY: each panel is written by one task.
        let out = unsafe { weights.slice(i * panel_len, panel_len) };
        with_scratch(|scratch| {
            level.run(TransformPanel { panels, shape, panel: first + i, scratch: &mut scratch.panel, out });
        });
    });
}

struct TransformPanel<'a> {
    panels: Panels<'a>,
    shape: [usize; 2],
    panel: usize,
    scratch: &'a mut Lines,
    out: &'a mut [f32],
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [n, c] = self.shape;
        let scratch = self.scratch.at_least(9 * c * S::TILE_COLUMNS);
        let taps = self.panels.slice(s, [n, 9 * c], self.panel, [0, 9 * c], scratch);
        let plane = c * S::TILE_COLUMNS;
        assert!(taps.len() >= 9 * plane && self.out.len() >= 16 * (plane + GAP) && plane.is_multiple_of(S::LANES));
        for at in (0..plane).step_by(S::LANES) {
            let mut rows = [[s.splat(0.0); 3]; 4];
            for x in 0..3 {
                let mut column = [s.splat(0.0); 3];
                for y in 0..3 {
                    // SAFETY: there are nine planes.
                    column[y] = unsafe { s.load(taps.as_ptr().add((y * 3 + x) * plane + at)) };
                }
                let column = kernel_transform(s, column);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..4 {
                let row = kernel_transform(s, rows[y]);
                for x in 0..4 {
                    // SAFETY: there are sixteen planes.
                    unsafe { s.store(self.out.as_mut_ptr().add((y * 4 + x) * (plane + GAP) + at), row[x]) };
                }
            }
        }
    }
}

/// A convolution with a group of output channels.
struct Call<'a> {
    patches: &'a Patches<'a>,
    zeros: &'a [f32],
    weights: &'a [f32],
    first: usize,
    columns: usize,
    epilogue: Epilogue<'a>,
    out: Shared<f32>,
}

/// Tiles `first..first + count` of those of all pictures, output channels `columns` of the group.
struct Task<'a> {
    call: &'a Call<'a>,
    first: usize,
    count: usize,
    columns: [usize; 2],
}

impl Call<'_> {
    fn run(&self, level: Level) {
        let tiles = self.patches.shape.batch * self.tiles_of_one();
        let blocks = tiles.div_ceil(TILES);
        // Blocks of equal height, in rows of eight tiles, because a short one would read all weights for a few tiles.
        let height = tiles.div_ceil(blocks).next_multiple_of(8);
        let blocks = tiles.div_ceil(height);
        // If there are few blocks, the threads share the columns, although each then transforms the same inputs.
        let wanted = if threads() == 1 { 1 } else { TASKS_PER_THREAD * threads() };
        let across = self.columns.div_ceil(COLUMNS).max(wanted.div_ceil(blocks));
        let step = self.columns.div_ceil(across).next_multiple_of(level.run(TileColumns));
        let across = self.columns.div_ceil(step);
        for_each_task(blocks * across, |task| {
            let column = task % across * step;
            let first = task / across * height;
            let columns = [column, (column + step).min(self.columns)];
            let task = Task { call: self, first, count: height.min(tiles - first), columns };
            with_scratch(|scratch| level.run(TaskKernel { task, scratch }));
        });
    }

    /// Tiles of one picture.
    #[inline(always)]
    fn tiles_of_one(&self) -> usize {
        let [height, width] = self.patches.shape.output;
        height.div_ceil(2) * width.div_ceil(2)
    }

    /// The picture and the top left output of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let picture = tile / self.tiles_of_one();
        let tile = tile % self.tiles_of_one();
        let across = self.patches.shape.output[1].div_ceil(2);
        (picture, [tile / across * 2, tile % across * 2])
    }
}

struct TaskKernel<'a> {
    task: Task<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for TaskKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let task = self.task;
        let c = task.call.zeros.len();
        let step = c.div_ceil(c.div_ceil(CHANNELS)).next_multiple_of(16);
        // Sixteen more than needed, because rows at a distance of a power of two would share cache sets.
        let row = step + 16;
        let width = (task.columns[1] - task.columns[0]).next_multiple_of(S::TILE_COLUMNS);
        let buffer = self.scratch.buffer.at_least(16 * TILES * (row + width));
        let (inputs, products) = buffer.split_at_mut(16 * TILES * row);
        let products = &mut products[..16 * TILES * width];
        let pointers = &mut self.scratch.pointers;
        for start in (0..c).step_by(step) {
            let range = [start, (start + step).min(c)];
            task.transform_inputs(s, range, row, inputs);
            pointers.clear();
            pointers.resize(16 * TILES, std::ptr::null());
            for i in 0..16 * TILES {
                pointers[i] = inputs[i * row..][..row].as_ptr();
            }
            // SAFETY: the pointers point to the rows of `inputs`, which contain the range.
            unsafe { task.multiply(s, range, pointers, width, products) };
        }
        task.transform_outputs(s, width, products);
    }
}

impl Task<'_> {
    /// `inputs[16][TILES][row]` from the channels in `range`.
    #[inline(always)]
    fn transform_inputs<S: Simd>(&self, s: S, [start, end]: [usize; 2], row: usize, inputs: &mut [f32]) {
        for tile in 0..self.count {
            let (picture, [y, x]) = self.call.place(self.first + tile);
            let mut pixels = [self.call.zeros; 16];
            for i in 0..16 {
                if let Some(stored) = self.call.patches.pixel(picture, [y, x], [i / 4, i % 4]) {
                    pixels[i] = stored;
                }
            }
            for at in (start..end).step_by(S::LANES) {
                let mut values = [s.splat(0.0); 16];
                for i in 0..16 {
                    values[i] = load_some(s, &pixels[i][at..end]);
                }
                transform_twice(s, &mut values);
                // The last vector may extend beyond the range, as the rows are sixteen longer than needed.
                let first = &mut inputs[tile * row + at - start..][..15 * TILES * row + S::LANES];
                for i in 0..16 {
                    // SAFETY: sixteen rows, `TILES` rows apart, from the first on.
                    unsafe { s.store(first.as_mut_ptr().add(i * TILES * row), values[i]) };
                }
            }
        }
    }

    /// `products[16][TILES][width] += inputs * weights` over the channels in `range`.
    ///
    /// # Safety
    /// `pointers` must point to the `16 * TILES` rows of the inputs.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        [start, end]: [usize; 2],
        pointers: &[*const f32],
        width: usize,
        products: &mut [f32],
    ) {
        let plane = self.call.zeros.len() * S::TILE_COLUMNS;
        // Position by position, because the inputs of one fit the first-level cache, and those of all hardly fit the
        // second.
        for position in 0..16 {
            for column in (self.columns[0]..self.columns[1]).step_by(S::TILE_COLUMNS) {
                let panel = &self.call.weights[(column / S::TILE_COLUMNS * 16 + position) * (plane + GAP)..][..plane];
                let weights = &panel[start * S::TILE_COLUMNS..end * S::TILE_COLUMNS];
                for tile in (0..self.count).step_by(S::TILE_ROWS) {
                    let at = position * TILES + tile;
                    let out = products[at * width + column - self.columns[0]..].as_mut_ptr();
                    let before = if start == 0 { Addend::NONE } else { Addend { data: out, row: width } };
                    let tile = Tile {
                        rows: S::TILE_ROWS,
                        pointers: pointers[at..].as_ptr(),
                        tap_stride: 0,
                        channels: end - start,
                        k: [0, end - start],
                        weights: weights.as_ptr(),
                        pairs: false,
                        added: [before, Addend::NONE],
                        out,
                        out_row: width,
                    };
                    // SAFETY: `TILES` is a multiple of the tile's rows and `width` of its columns.
                    unsafe { s.multiply_tile(&tile) };
                }
            }
        }
    }

    /// The outputs of the tiles, with bias, residual and activation.
    #[inline(always)]
    fn transform_outputs<S: Simd>(&self, s: S, width: usize, products: &[f32]) {
        for tile in 0..self.count {
            let place = self.call.place(self.first + tile);
            for column in (self.columns[0]..self.columns[1]).step_by(S::LANES) {
                let first = &products[tile * width + column - self.columns[0]..][..15 * TILES * width + S::LANES];
                let mut rows = [[s.splat(0.0); 4]; 2];
                for x in 0..4 {
                    let mut values = [s.splat(0.0); 4];
                    for y in 0..4 {
                        // SAFETY: sixteen vectors, `TILES` rows apart, from the first on.
                        values[y] = unsafe { s.load(first.as_ptr().add((y * 4 + x) * TILES * width)) };
                    }
                    [rows[0][x], rows[1][x]] = output_transform(s, values);
                }
                let outputs = [output_transform(s, rows[0]), output_transform(s, rows[1])];
                self.store(s, place, column, outputs);
            }
        }
    }

    /// Adds bias and residual to the 2x2 outputs of a tile, applies the activation and stores the outputs inside the
    /// picture.
    #[inline(always)]
    fn store<S: Simd>(&self, s: S, (picture, [y, x]): (usize, [usize; 2]), column: usize, outputs: [[S::F32; 2]; 2]) {
        let shape = self.call.patches.shape;
        let Epilogue { bias, residual, activation } = self.call.epilogue;
        let count = S::LANES.min(self.columns[1] - column);
        let channel = self.call.first + column;
        let bias = if let Some(bias) = bias { load_some(s, &bias[channel..channel + count]) } else { s.splat(0.0) };
        for dy in 0..2.min(shape.output[0] - y) {
            for dx in 0..2.min(shape.output[1] - x) {
                let pixel = (picture * shape.output[0] + y + dy) * shape.output[1] + x + dx;
                let place = pixel * shape.out_channels + channel;
                let mut value = s.add(outputs[dy][dx], bias);
                if let Some(residual) = residual {
                    value = s.add(value, load_some(s, &residual[place..place + count]));
                }
                // SAFETY: these channels of this pixel belong to this task alone.
                let out = unsafe { self.call.out.slice(place, count) };
                store_some(s, activation.of(s, value), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::conv2d;
    use crate::{Activation, Weight};

    /// Small pictures for an interpreter, for which Winograd's method is normally not used.
    #[test]
    fn small_pictures_of_a_batch_are_convolved_alike() {
        let input = [5, 3];
        let channels = 6;
        let outputs = 19;
        let shape = Conv2dShape {
            batch: 2,
            input,
            stretched: input,
            in_channels: channels,
            out_channels: outputs,
            kernel: [3, 3],
            stride: 1,
            padding_before: [1, 1],
            output: input,
        };
        let values = |len: usize| (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect::<Vec<_>>();
        let x = values(2 * 15 * channels);
        let w = values(outputs * 9 * channels);
        let b = values(outputs);
        let residual = values(2 * 15 * outputs);
        for level in Level::available() {
            level.with(|| {
                let mut want = residual.clone();
                let mut got = residual.clone();
                let bias = Some(b.as_slice());
                let residual = Some(residual.as_slice());
                conv2d(&x, &shape, Weight::F32(&w), bias, residual, Activation::Relu, &mut want);
                let epilogue = Epilogue { bias, residual, activation: Activation::Relu };
                let patches = Patches::new(&x, &shape);
                convolve(level, &patches, Panels::Rows(Weight::F32(&w)), epilogue, &mut got);
                let close = got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-5 * want.abs().max(1.0));
                assert!(close, "{level:?}: {got:?} {want:?}");
            });
        }
    }
}
