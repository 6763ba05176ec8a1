//! Weights in panels: `[panel][k][TILE_COLUMNS]`, so that the micro-kernel reads them sequentially.

use super::few::FEW;
use super::quantised::pack_blocks;
use crate::blocks::WidenBlocks;
use crate::integers;
use crate::memory::{Floats, Lines};
use crate::parallel::{Shared, for_each_chunk, for_each_task};
use crate::simd::{Kernel, Simd, copy, fill, store_some};
use crate::weight::Operand;
use crate::{BlockFormat, Level, Weight};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A weight matrix `[n, k]` in panels, in the kernels' reading order, for layers that run more than once.
///
/// It is packed for the current level and keeps the type of the weight. Products with it equal those with the unpacked
/// weight bit for bit, unless it is packed for products in lower precision ([`bf16`](Self::bf16),
/// [`integers`](Self::integers)).
pub struct PackedWeight {
    pub(crate) level: Level,
    pub(crate) n: usize,
    pub(crate) k: usize,
    data: Storage,
}

enum Storage {
    /// Row-major: too few columns for panels.
    Rows(Floats),
    F32(Lines),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    /// Pairs of bfloat16 along `k`, each as one float.
    Pairs(Lines),
    /// In their own type, widened while multiplying.
    Blocks(BlockFormat, Vec<u8>),
    /// Multiplied in integers.
    Integers(integers::Panels),
}

impl PackedWeight {
    /// Packs a matrix `[n, k]`; a convolution's kernel is `[out, kh * kw * in]`.
    pub fn new(weight: Weight<'_>, [n, k]: [usize; 2]) -> Self {
        assert_eq!(weight.len(), n * k);
        let level = Level::current();
        if n <= FEW {
            return Self { level, n, k, data: Storage::Rows(widened(level, weight)) };
        }
        let columns = level.run(TileColumns);
        let len = n.div_ceil(columns) * columns * k;
        let data = match weight {
            Weight::F32(_) => {
                let mut data = Lines::default();
                pack_f32(level, weight, n, k, data.at_least(len));
                Storage::F32(data)
            }
            Weight::F16(w) => Storage::F16(reorder(w, n, k, columns)),
            Weight::Bf16(w) => Storage::Bf16(reorder(w, n, k, columns)),
            Weight::Blocks { format, bytes } => Storage::Blocks(format, bytes.to_vec()),
        };
        Self { level, n, k, data }
    }

    /// Packs a matrix `[n, k]` for products in integers if it is quantised, without losing bits of the weight; the
    /// input is rounded to blocks of eight bits. Other types, and matrices with very few rows, are packed as by
    /// [`new`](Self::new).
    pub fn integers(weight: Weight<'_>, [n, k]: [usize; 2]) -> Self {
        match weight {
            Weight::Blocks { format, bytes } if n > FEW => {
                assert_eq!(weight.len(), n * k);
                let level = Level::current();
                Self { level, n, k, data: Storage::Integers(integers::Panels::new(level, format, bytes, n)) }
            }
            _ => Self::new(weight, [n, k]),
        }
    }

    /// Packs a matrix `[n, k]` for products in bfloat16: the input is rounded to it too, and sums are `f32`. `k`, and
    /// for a convolution the number of input channels, must be even. Quantised weights are packed for integers, which
    /// is faster and not less accurate.
    pub fn bf16(weight: Weight<'_>, [n, k]: [usize; 2]) -> Self {
        if n <= FEW || matches!(weight, Weight::Blocks { .. }) {
            return Self::integers(weight, [n, k]);
        }
        assert!(weight.len() == n * k && k.is_multiple_of(2));
        let level = Level::current();
        let pairs = to_pairs(&widened(level, weight));
        let len = n.next_multiple_of(level.run(TileColumns)) * k / 2;
        let mut data = Lines::default();
        // Packing copies floats unchanged, even if they are pairs.
        pack_f32(level, Weight::F32(&pairs), n, k / 2, data.at_least(len));
        Self { level, n, k, data: Storage::Pairs(data) }
    }

    pub(crate) fn operand(&self) -> Operand<'_> {
        let packed = |weight| Operand::Floats(Panels::Packed(weight));
        match &self.data {
            Storage::Rows(rows) => Operand::Floats(Panels::Rows(Weight::F32(rows))),
            Storage::F32(data) => packed(Weight::F32(data.as_slice())),
            Storage::F16(data) => packed(Weight::F16(data)),
            Storage::Bf16(data) => packed(Weight::Bf16(data)),
            Storage::Pairs(data) => Operand::Pairs(Panels::Packed(Weight::F32(data.as_slice()))),
            Storage::Blocks(format, bytes) => Operand::Floats(Panels::Rows(Weight::Blocks { format: *format, bytes })),
            Storage::Integers(panels) => Operand::Integers(panels),
        }
    }
}

/// Rounds floats to bfloat16, and stores two neighbours in the bits of one float.
pub(crate) fn to_pairs(x: &[f32]) -> Floats {
    const TASK: usize = 8 * 1024;
    let mut pairs = Floats::take(x.len() / 2);
    for_each_chunk(&mut pairs, TASK, |i, pairs| {
        let x = &x[i * 2 * TASK..][..2 * pairs.len()];
        bytemuck::cast_slice_mut::<f32, bf16>(pairs).convert_from_f32_slice(x);
    });
    pairs
}

/// A row-major matrix in `f32`.
pub(super) fn widened(level: Level, weight: Weight<'_>) -> Floats {
    let mut out = Floats::take(weight.len());
    level.run(Widen { weight, out: &mut out });
    out
}

struct Widen<'a> {
    weight: Weight<'a>,
    out: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        widen(s, self.weight, 0, self.out);
    }
}

/// Widens and packs a whole matrix into the panels `out`, on all cores.
pub(crate) fn pack_f32(level: Level, weight: Weight<'_>, n: usize, k: usize, out: &mut [f32]) {
    let columns = level.run(TileColumns);
    let panels = n.div_ceil(columns);
    assert!(out.len() >= panels * columns * k);
    let out = Shared::new(out);
    for_each_task(panels, |panel| {
        // SAFETY: each panel is written by one task, and there are `panels` of them.
        let out = unsafe { out.slice(panel * k * columns, k * columns) };
        level.run(PackPanel { weight, n, k, panel, range: [0, k], out });
    });
}

/// The width of a level's panels.
pub(crate) struct TileColumns;

impl Kernel for TileColumns {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::TILE_COLUMNS
    }
}

struct PackPanel<'a> {
    weight: Weight<'a>,
    n: usize,
    k: usize,
    panel: usize,
    range: [usize; 2],
    out: &'a mut [f32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weight, n, k, panel, .. } = self;
        pack_panel(s, weight, [n, k], panel, self.range, self.out);
    }
}

/// Packs 16-bit weights into panels without widening, once per model.
fn reorder<T: Copy + Default + Send + Sync>(weight: &[T], n: usize, k: usize, columns: usize) -> Vec<T> {
    let mut out = vec![T::default(); n.div_ceil(columns) * columns * k];
    for_each_chunk(&mut out, (columns * k).max(1), |panel, out| {
        for column in 0..columns.min(n - panel * columns) {
            let row = &weight[(panel * columns + column) * k..][..k];
            row.iter().enumerate().for_each(|(i, w)| out[i * columns + column] = *w);
        }
    });
    out
}

/// The source of a product's panels.
#[derive(Clone, Copy)]
pub(crate) enum Panels<'a> {
    /// Row-major `[n, k]`, packed a slice at a time while multiplying.
    Rows(Weight<'a>),
    /// Already in panels for the current level.
    Packed(Weight<'a>),
}

impl Panels<'_> {
    /// How many positions are packed at a time, at most `most`; whole blocks if the weight is quantised.
    #[inline(always)]
    pub(super) fn step(&self, most: usize) -> usize {
        match self {
            Self::Rows(Weight::Blocks { format, .. }) => {
                (most / format.length() * format.length()).max(format.length())
            }
            _ => most,
        }
    }

    /// The positions `range` of a panel as floats: in place, or packed into `scratch`.
    #[inline(always)]
    pub(crate) fn slice<'s, S: Simd>(
        &'s self,
        s: S,
        [n, k]: [usize; 2],
        panel: usize,
        range: [usize; 2],
        scratch: &'s mut [f32],
    ) -> &'s [f32] {
        let len = (range[1] - range[0]) * S::TILE_COLUMNS;
        let start = (panel * k + range[0]) * S::TILE_COLUMNS;
        match self {
            Self::Packed(Weight::F32(data)) => &data[start..start + len],
            Self::Packed(weight) => {
                widen(s, *weight, start, &mut scratch[..len]);
                &scratch[..len]
            }
            Self::Rows(Weight::Blocks { format, bytes }) => {
                pack_blocks(s, *format, bytes, [n, k], panel, range, &mut scratch[..len]);
                &scratch[..len]
            }
            Self::Rows(weight) => {
                pack_panel(s, *weight, [n, k], panel, range, &mut scratch[..len]);
                &scratch[..len]
            }
        }
    }
}

/// Widens 16-bit floats in whole vectors, and the tail in a padded one.
macro_rules! widen_16 {
    ($s:expr, $w:expr => $out:ident, $load:ident) => {{
        let w = $w;
        let whole = w.len() / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: both hold a vector at `at`.
            unsafe { $s.store($out.as_mut_ptr().add(at), $s.$load(w.as_ptr().add(at))) };
        }
        if whole < w.len() {
            let mut lanes = [Default::default(); 16];
            copy(&w[whole..], &mut lanes[..w.len() - whole]);
            // SAFETY: no vector is longer than 16.
            store_some($s, unsafe { $s.$load(lanes.as_ptr()) }, &mut $out[whole..]);
        }
    }};
}

/// The elements from `start` as floats.
#[inline(always)]
fn widen<S: Simd>(s: S, weight: Weight<'_>, start: usize, out: &mut [f32]) {
    let end = start + out.len();
    match weight {
        Weight::F32(w) => copy(&w[start..end], out),
        Weight::F16(w) => widen_16!(s, &w[start..end] => out, load_f16),
        Weight::Bf16(w) => widen_16!(s, &w[start..end] => out, load_bf16),
        Weight::Blocks { format, bytes } => {
            let first = start / format.length() * format.bytes();
            let last = end / format.length() * format.bytes();
            assert!(start.is_multiple_of(format.length()) && end.is_multiple_of(format.length()));
            s.widen_blocks(WidenBlocks { format, bytes: &bytes[first..last], out });
        }
    }
}

/// Transposes rows `panel * TILE_COLUMNS ..` of a matrix of `n` rows, `row` apart, positions `range`, into
/// `[k][TILE_COLUMNS]`.
#[inline(always)]
pub(crate) fn pack_panel<S: Simd>(
    s: S,
    weight: Weight<'_>,
    [n, row]: [usize; 2],
    panel: usize,
    [start, end]: [usize; 2],
    out: &mut [f32],
) {
    /// Positions that are widened at a time.
    const CHUNK: usize = 64;
    let mut wide = [0.0; 8 * CHUNK];
    for column in (0..S::TILE_COLUMNS).step_by(8) {
        let first = panel * S::TILE_COLUMNS + column;
        let rows = 8.min(n.saturating_sub(first));
        for from in (start..end).step_by(CHUNK) {
            let count = CHUNK.min(end - from);
            let out = &mut out[(from - start) * S::TILE_COLUMNS + column..];
            if let (Weight::F32(w), 8) = (weight, rows) {
                transpose(s, &w[first * row + from..], row, count, out);
                continue;
            }
            for i in 0..8 {
                let wide = &mut wide[i * CHUNK..][..count];
                if i < rows {
                    widen(s, weight, (first + i) * row + from, wide);
                } else {
                    fill(wide, 0.0);
                }
            }
            transpose(s, &wide, CHUNK, count, out);
        }
    }
}

/// `out[j][i] = rows[i][j]` for eight rows and `count` positions, where the rows of `out` are a panel's.
#[inline(always)]
pub(super) fn transpose<S: Simd>(s: S, rows: &[f32], row: usize, count: usize, out: &mut [f32]) {
    assert!(rows.len() >= 7 * row + count && out.len() + S::TILE_COLUMNS >= count * S::TILE_COLUMNS + 8);
    let whole = count / 8 * 8;
    for j in (0..whole).step_by(8) {
        // SAFETY: the assertion covers eight rows and the positions j..j + 8 of both.
        unsafe { s.transpose8(rows.as_ptr().add(j), row, out.as_mut_ptr().add(j * S::TILE_COLUMNS), S::TILE_COLUMNS) };
    }
    for j in whole..count {
        for i in 0..8 {
            out[j * S::TILE_COLUMNS + i] = rows[i * row + j];
        }
    }
}
