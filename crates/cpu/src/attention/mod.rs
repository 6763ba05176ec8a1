//! Scaled dot-product attention with an online softmax over blocks of keys (FlashAttention,
//! <https://arxiv.org/abs/2205.14135>): no whole row of scores is ever in memory.

mod bias;

pub use bias::{Bias, Relative};

use crate::gemm::{Addend, Scratch, Tile, TileColumns, pack_panel, with_scratch};
use crate::math::exp2_of_negative;
use crate::memory::Floats;
use crate::parallel::{Shared, for_each_chunk, for_each_task};
use crate::simd::{Kernel, Simd, fill, map};
use crate::{Level, Weight};

/// The geometry of an attention call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Sequences in the batch.
    pub batch: usize,
    /// Query rows per sequence.
    pub queries: usize,
    /// Key and value rows per sequence.
    pub keys: usize,
    /// Heads; each reads its own `width` columns.
    pub heads: usize,
    /// Width of one head.
    pub width: usize,
    /// Factor on the scores, above zero; usually `1 / sqrt(width)`.
    pub scale: f32,
    /// Whether a query only attends to keys up to its own position.
    pub causal: bool,
}

/// Queries of one task: a multiple of every level's tile rows.
const QUERIES: usize = 48;
/// Keys of one step of the online softmax: a multiple of every level's tile columns.
const KEYS: usize = 256;
/// Distance between rows of scores. It is not a power of two, because such rows would share cache sets.
const SCORE_ROW: usize = KEYS + 16;

/// `softmax(q k^T * scale) v` for every head: `q[batch, queries, heads * width]`, `k` and `v` `[batch, keys, heads * width]`.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape, out: &mut [f32]) {
    attention_biased(q, k, v, Bias::None, shape, out);
}

/// The same with a bias added to the scaled scores.
pub fn attention_biased(q: &[f32], k: &[f32], v: &[f32], bias: Bias<'_>, shape: &AttentionShape, out: &mut [f32]) {
    let AttentionShape { batch, queries, keys, heads, width, scale, .. } = *shape;
    let hidden = heads * width;
    assert_eq!((q.len(), out.len()), (batch * queries * hidden, batch * queries * hidden));
    assert_eq!((k.len(), v.len()), (batch * keys * hidden, batch * keys * hidden));
    assert!(scale > 0.0 && bias.fits(shape));
    if out.is_empty() || keys == 0 {
        return out.fill(0.0);
    }
    let level = Level::current();
    let packed = PackedHeads::new(level, k, v, shape);
    let blocks = queries.div_ceil(QUERIES);
    let out = Shared::new(out);
    for_each_task(batch * heads * blocks, |task| {
        let head = task / blocks;
        let first = task % blocks * QUERIES;
        let rows = QUERIES.min(queries - first);
        let task = Task { q, bias, shape, packed: &packed, head, first, rows, out };
        with_scratch(|scratch| level.run(TaskKernel { task, scratch }));
    });
}

/// Keys and values of all heads as panels for the matrix product.
struct PackedHeads {
    /// `[batch * heads][key panel][width][columns]`.
    keys: Floats,
    keys_per_head: usize,
    /// `[batch * heads][width panel][keys][columns]`.
    values: Floats,
    values_per_head: usize,
}

impl PackedHeads {
    fn new(level: Level, k: &[f32], v: &[f32], shape: &AttentionShape) -> Self {
        let AttentionShape { batch, keys, heads, width, .. } = *shape;
        let columns = level.run(TileColumns);
        let keys_per_head = keys.next_multiple_of(columns) * width;
        let values_per_head = width.next_multiple_of(columns) * keys;
        let mut packed = Self {
            keys: Floats::take(batch * heads * keys_per_head),
            keys_per_head,
            values: Floats::take(batch * heads * values_per_head),
            values_per_head,
        };
        for_each_chunk(&mut packed.keys, keys_per_head, |head, out| {
            let rows = &k[head / heads * keys * heads * width + head % heads * width..];
            level.run(PackKeys { rows, shape, out });
        });
        for_each_chunk(&mut packed.values, values_per_head, |head, out| {
            let rows = &v[head / heads * keys * heads * width + head % heads * width..];
            for (panel, out) in out.chunks_exact_mut(keys * columns).enumerate() {
                let from = panel * columns;
                let count = columns.min(width - panel * columns);
                for (row, out) in rows.chunks(heads * width).zip(out.chunks_exact_mut(columns)) {
                    out[..count].copy_from_slice(&row[from..from + count]);
                    out[count..].fill(0.0);
                }
            }
        });
        packed
    }
}

struct PackKeys<'a> {
    rows: &'a [f32],
    shape: &'a AttentionShape,
    out: &'a mut [f32],
}

impl Kernel for PackKeys<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AttentionShape { keys, heads, width, .. } = *self.shape;
        let len = width * S::TILE_COLUMNS;
        for panel in 0..self.out.len() / len {
            let out = &mut self.out[panel * len..][..len];
            pack_panel(s, Weight::F32(self.rows), [keys, heads * width], panel, [0, width], out);
        }
    }
}

/// A block of queries of one head.
struct Task<'a> {
    q: &'a [f32],
    bias: Bias<'a>,
    shape: &'a AttentionShape,
    packed: &'a PackedHeads,
    /// Sequence and head in one number.
    head: usize,
    first: usize,
    rows: usize,
    out: Shared<f32>,
}

struct TaskKernel<'a> {
    task: Task<'a>,
    scratch: &'a mut Scratch,
}

/// The state of a block of queries between two blocks of keys.
struct State<'a> {
    /// `[QUERIES][SCORE_ROW]`: scores, then their exponentials.
    scores: &'a mut [f32],
    /// `[QUERIES][panels * columns]`: the weighted sum of values.
    sums: &'a mut [f32],
    /// Largest score so far, in powers of two.
    largest: [f32; QUERIES],
    /// Sum of exponentials so far.
    total: [f32; QUERIES],
}

impl Kernel for TaskKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let task = self.task;
        let AttentionShape { queries, keys, heads, width, causal, .. } = *task.shape;
        let padded = width.next_multiple_of(S::TILE_COLUMNS);
        let buffer = self.scratch.buffer.at_least(QUERIES * (SCORE_ROW + padded));
        let (scores, sums) = buffer.split_at_mut(QUERIES * SCORE_ROW);
        let sums = &mut sums[..QUERIES * padded];
        // The missing rows of the last tile are computed from the last query and discarded.
        let pointers = &mut self.scratch.pointers;
        pointers.clear();
        pointers.resize(QUERIES, std::ptr::null());
        for i in 0..QUERIES {
            let row = (task.head / heads) * queries + task.first + i.min(task.rows - 1);
            pointers[i] = task.q[row * heads * width + task.head % heads * width..][..width].as_ptr();
        }
        let mut state = State { scores, sums, largest: [f32::NEG_INFINITY; QUERIES], total: [0.0; QUERIES] };
        let end = if causal { keys.min(task.first + task.rows) } else { keys };
        for start in (0..end).step_by(KEYS) {
            let count = KEYS.min(keys - start);
            // SAFETY: the pointers lead to `QUERIES` rows of `width`.
            unsafe { task.multiply_keys(s, start, count, pointers, &mut state) };
            task.softmax(s, start, count, &mut state);
            task.multiply_values(s, start, count, &mut state);
        }
        task.finish(s, &state);
    }
}

impl Task<'_> {
    /// `scores = q k^T` for the keys `start..start + count`.
    ///
    /// # Safety
    /// `q` must hold `QUERIES` pointers to `width` floats.
    #[inline(always)]
    unsafe fn multiply_keys<S: Simd>(&self, s: S, start: usize, count: usize, q: &[*const f32], state: &mut State<'_>) {
        let width = self.shape.width;
        let panel = width * S::TILE_COLUMNS;
        let head = &self.packed.keys[self.head * self.packed.keys_per_head..][..self.packed.keys_per_head];
        let panels = &head[start / S::TILE_COLUMNS * panel..][..count.div_ceil(S::TILE_COLUMNS) * panel];
        for i in 0..panels.len() / panel {
            let weights = &panels[i * panel..][..panel];
            for row in (0..self.rows).step_by(S::TILE_ROWS) {
                let tile = Tile {
                    rows: S::TILE_ROWS,
                    pointers: q[row..].as_ptr(),
                    tap_stride: QUERIES,
                    channels: width,
                    k: [0, width],
                    weights: weights.as_ptr(),
                    pairs: false,
                    added: [Addend::NONE; 2],
                    out: state.scores[row * SCORE_ROW + i * S::TILE_COLUMNS..].as_mut_ptr(),
                    out_row: SCORE_ROW,
                };
                // SAFETY: `QUERIES` is a multiple of the tile's rows and `KEYS` of its columns.
                unsafe { s.multiply_tile(&tile) };
            }
        }
    }

    /// Turns scores into exponentials of their difference to the largest so far, and rescales the previous sums.
    #[inline(always)]
    fn softmax<S: Simd>(&self, s: S, start: usize, count: usize, state: &mut State<'_>) {
        let scale = self.shape.scale * std::f32::consts::LOG2_E;
        let padded = count.next_multiple_of(S::LANES);
        let width = state.sums.len() / QUERIES;
        for row in 0..self.rows {
            let scores = &mut state.scores[row * SCORE_ROW..][..padded];
            self.bias.add(self.shape, [self.head, self.first + row, start], &mut scores[..count]);
            let visible =
                if self.shape.causal { (self.first + row + 1).saturating_sub(start).min(count) } else { count };
            fill(&mut scores[visible..], f32::NEG_INFINITY);
            let before = state.largest[row];
            let largest = before.max(largest_of(s, scores) * scale);
            let total = exponentials(s, scores, scale, largest);
            fill(&mut scores[visible..], 0.0);
            state.largest[row] = largest;
            if start == 0 || largest == before {
                state.total[row] += total;
                continue;
            }
            let factor = exp2_of_negative(s, s.splat(before - largest));
            state.total[row] = state.total[row] * s.largest(factor) + total;
            let sums = &mut state.sums[row * width..][..width];
            for at in (0..width).step_by(S::LANES) {
                // SAFETY: `width` is a multiple of `TILE_COLUMNS` and so of `LANES`.
                unsafe { s.store(sums.as_mut_ptr().add(at), s.mul(s.load(sums.as_ptr().add(at)), factor)) };
            }
        }
    }

    /// `sums += exponentials * v` for the keys `start..start + count`.
    #[inline(always)]
    fn multiply_values<S: Simd>(&self, s: S, start: usize, count: usize, state: &mut State<'_>) {
        // Created again for every block, because the writes in between invalidate older pointers.
        let mut p = [std::ptr::null(); QUERIES];
        for row in 0..QUERIES {
            p[row] = state.scores[row * SCORE_ROW..].as_ptr();
        }
        let width = state.sums.len() / QUERIES;
        let head = self.head * self.packed.values_per_head;
        let head = &self.packed.values[head..][..self.packed.values_per_head];
        let len = self.shape.keys * S::TILE_COLUMNS;
        for i in 0..head.len() / len {
            let panel = &head[i * len..][..len];
            let weights = panel[start * S::TILE_COLUMNS..][..count * S::TILE_COLUMNS].as_ptr();
            for row in (0..self.rows).step_by(S::TILE_ROWS) {
                let out = state.sums[row * width + i * S::TILE_COLUMNS..].as_mut_ptr();
                let before = if start == 0 { Addend::NONE } else { Addend { data: out, row: width } };
                let tile = Tile {
                    rows: S::TILE_ROWS,
                    pointers: p[row..].as_ptr(),
                    tap_stride: QUERIES,
                    channels: KEYS,
                    k: [0, count],
                    weights,
                    pairs: false,
                    added: [before, Addend::NONE],
                    out,
                    out_row: width,
                };
                // SAFETY: the sums have whole tiles in both directions, the rows of scores `KEYS` floats.
                unsafe { s.multiply_tile(&tile) };
            }
        }
    }

    /// Divides by the sum of exponentials and stores the head's columns.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, state: &State<'_>) {
        let AttentionShape { queries, heads, width, .. } = *self.shape;
        let padded = state.sums.len() / QUERIES;
        for row in 0..self.rows {
            let sums = &state.sums[row * padded..][..width];
            let at = (self.head / heads * queries + self.first + row) * heads * width + self.head % heads * width;
            // SAFETY: these rows and columns belong to this task alone.
            let out = unsafe { self.out.slice(at, width) };
            let inverse = 1.0 / state.total[row];
            map!(s, sums => out, |sum| s.mul(sum, s.splat(inverse)));
        }
    }
}

/// The largest of a row of whole vectors.
#[inline(always)]
fn largest_of<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut largest = s.splat(f32::NEG_INFINITY);
    assert!(row.len().is_multiple_of(S::LANES));
    for at in (0..row.len()).step_by(S::LANES) {
        // SAFETY: the row holds a vector at `at`.
        largest = s.max(largest, unsafe { s.load(row.as_ptr().add(at)) });
    }
    s.largest(largest)
}

/// Replaces the row by `2^(row * scale - largest)` and returns the sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &mut [f32], scale: f32, largest: f32) -> f32 {
    let scale = s.splat(scale);
    let largest = s.splat(largest);
    let mut total = s.splat(0.0);
    assert!(row.len().is_multiple_of(S::LANES));
    for at in (0..row.len()).step_by(S::LANES) {
        // SAFETY: the row holds a vector at `at`. The product is rounded as for `largest`, so the maximum is 2^0.
        unsafe {
            let x = s.sub(s.mul(s.load(row.as_ptr().add(at)), scale), largest);
            let power = exp2_of_negative(s, x);
            total = s.add(total, power);
            s.store(row.as_mut_ptr().add(at), power);
        }
    }
    s.sum(total)
}
