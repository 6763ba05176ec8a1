//! Quantised weights in panels for the micro-kernel: the bits of a format, reordered.
//!
//! A panel is as wide as the level's tile. For each block of the format it contains, for all columns side by side, the
//! half-precision scales, the codes of scales, and, per 32 weights, the quants in planes of bits:
//!
//! - `nibbles`, for quants of 4 to 6 bits: 16 bytes, byte `i` with weights `i` and `16 + i`,
//! - `pairs`, the upper bits of 6-bit quants and the lower bits of 2- and 3-bit quants: 8 bytes, byte `i` with weights
//!   `i`, `8 + i`, ...,
//! - `singles`, the upper bit of 3- and 5-bit quants: 4 bytes, byte `i` with weights `i`, `4 + i`, ...,
//! - for signed bytes, the quants themselves.
//!
//! The bytes of a plane are distributed in the groups of 2 or 4 that a lane multiplies, so that unpacking a plane byte
//! by byte gives quants in the micro-kernel's order. A panel is as large as its blocks, except that six-bit scales
//! become bytes: `Q4_K` grows by 3 %.

use super::tile::{Order, Width};
use crate::blocks::{Codes, Scheme, codes, quants};
use crate::gemm::Size;
use crate::memory::Lines;
use crate::parallel::{Shared, for_each_task};
use crate::simd::{Kernel, Simd};
use crate::{BlockFormat, Level};

/// The tile and the order of a level's micro-kernel.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) tile: Size,
    pub(super) order: Order,
}

/// Reads them from a level.
struct ShapeOf(Width);

impl Kernel for ShapeOf {
    type Output = Shape;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Shape {
        let tile = Size { rows: S::BLOCK_ROWS, columns: S::BLOCK_VECTORS * S::LANES };
        Shape { tile, order: s.order(self.0) }
    }
}

impl Scheme {
    #[inline(always)]
    pub(super) const fn width(&self) -> Width {
        match self.bits {
            _ if self.table => Width::Eight,
            8 => Width::Eight,
            6 => Width::Six,
            _ => Width::Five,
        }
    }

    /// Bytes of the codes of a block of `length` weights.
    #[inline(always)]
    const fn code_bytes(&self, length: usize) -> usize {
        let groups = length / self.shared;
        match self.codes {
            Codes::None => 0,
            Codes::Nibbles | Codes::Signed => groups,
            Codes::Six => 2 * groups,
        }
    }

    #[inline(always)]
    pub(super) const fn has_nibbles(&self) -> bool {
        matches!(self.bits, 4..=6)
    }

    #[inline(always)]
    pub(super) const fn has_pairs(&self) -> bool {
        matches!(self.bits, 2 | 3 | 6)
    }

    #[inline(always)]
    pub(super) const fn has_singles(&self) -> bool {
        matches!(self.bits, 3 | 5)
    }

    /// The position of the bits of pairs in a quant.
    #[inline(always)]
    pub(super) const fn pair_shift(&self) -> usize {
        if self.bits == 6 { 4 } else { 0 }
    }
}

/// A matrix `[n, k]` for one level.
pub(crate) struct Panels {
    pub(super) format: BlockFormat,
    pub(super) shape: Shape,
    /// Blocks of a row.
    pub(super) blocks: usize,
    data: Lines,
}

impl Panels {
    /// Packs the whole blocks of `n` rows.
    pub(crate) fn new(level: Level, format: BlockFormat, bytes: &[u8], n: usize) -> Self {
        let shape = level.run(ShapeOf(format.scheme().width()));
        let blocks = (bytes.len() / format.bytes()).checked_div(n).unwrap_or(0);
        let panels = n.div_ceil(shape.tile.columns);
        let mut made = Self { format, shape, blocks, data: Lines::default() };
        let panel = blocks * made.block_bytes();
        let data: &mut [u8] = bytemuck::cast_slice_mut(made.data.at_least((panels * panel).div_ceil(4)));
        let data = Shared::new(data);
        for_each_task(panels, |i| {
            let first = i * shape.tile.columns;
            let rows = shape.tile.columns.min(n - first);
            let row = blocks * format.bytes();
            let bytes = &bytes[first * row..][..rows * row];
            // SAFETY: each panel is written by one task, and there are `panels` of them.
            let out = unsafe { data.slice(i * panel, panel) };
            level.run(Pack { format, shape, blocks, bytes, out });
        });
        made
    }

    /// Bytes of the panels of a matrix `[n, k]`.
    pub(crate) fn bytes(level: Level, format: BlockFormat, [n, k]: [usize; 2]) -> usize {
        let shape = level.run(ShapeOf(format.scheme().width()));
        n.next_multiple_of(shape.tile.columns) * (k / format.length()) * column_bytes(format)
    }

    /// Floats that the rounded inputs of a product of `m` rows of `k` take.
    pub(crate) fn input_floats(level: Level, format: BlockFormat, [m, k]: [usize; 2]) -> usize {
        let shape = level.run(ShapeOf(format.scheme().width()));
        m.next_multiple_of(shape.tile.rows) * (k / 32) * shape.order.record()
    }

    /// Bytes of a block of all columns of a panel.
    #[inline(always)]
    pub(super) fn block_bytes(&self) -> usize {
        column_bytes(self.format) * self.shape.tile.columns
    }

    /// Blocks `range` of a panel.
    #[inline(always)]
    pub(super) fn slice(&self, panel: usize, range: [usize; 2]) -> &[u8] {
        let data: &[u8] = bytemuck::cast_slice(self.data.as_slice());
        let block = self.block_bytes();
        &data[(panel * self.blocks + range[0]) * block..][..(range[1] - range[0]) * block]
    }
}

/// Bytes of a block of one column of a panel.
#[inline(always)]
fn column_bytes(format: BlockFormat) -> usize {
    let scheme = format.scheme();
    let length = format.length();
    2 * scheme.halves.len() + scheme.code_bytes(length) + length * scheme.bits / 8
}

/// Distributes the blocks of some rows in a panel.
struct Pack<'a> {
    format: BlockFormat,
    shape: Shape,
    blocks: usize,
    bytes: &'a [u8],
    out: &'a mut [u8],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { format, shape, blocks, bytes, out } = self;
        let size = format.bytes();
        let rows = (bytes.len() / size).checked_div(blocks).unwrap_or(0);
        for block in 0..blocks {
            for column in 0..rows {
                let from = &bytes[(column * blocks + block) * size..][..size];
                let writer = Writer { shape, column, at: block * (out.len() / blocks), out };
                pack_block(format, from, writer);
            }
        }
    }
}

/// Writes one column of a block of a panel, from front to back.
struct Writer<'a> {
    shape: Shape,
    column: usize,
    at: usize,
    out: &'a mut [u8],
}

impl Writer<'_> {
    /// Writes bytes in groups, next to those of the other columns.
    #[inline(always)]
    fn write<const N: usize>(&mut self, bytes: &[u8], group: usize) {
        assert!(bytes.len() == N);
        for i in (0..N).step_by(group) {
            let at = self.at + i * self.shape.tile.columns + self.column * group;
            #[expect(clippy::manual_memcpy, reason = "a call for one to four bytes would take longer")]
            for j in 0..group {
                self.out[at + j] = bytes[i + j];
            }
        }
        self.at += N * self.shape.tile.columns;
    }
}

#[inline(always)]
fn pack_block(format: BlockFormat, block: &[u8], mut writer: Writer<'_>) {
    let scheme = format.scheme();
    for at in scheme.halves {
        writer.write::<2>(&block[*at..*at + 2], 2);
    }
    let groups = format.length() / scheme.shared;
    let bytes_of_codes = scheme.code_bytes(format.length()).checked_div(groups).unwrap_or(0);
    for i in 0..bytes_of_codes {
        for group in 0..groups {
            writer.write::<1>(&[codes(format, block, group)[i]], 1);
        }
    }
    let Order { group, is_raised } = writer.shape.order;
    for part in 0..format.length() / 32 {
        let quants = quants(format, block, part);
        if scheme.bits == 8 {
            let mut bytes = quants;
            for i in 0..32 {
                bytes[i] ^= if is_raised { 128 } else { 0 };
            }
            writer.write::<32>(&bytes, group);
            continue;
        }
        if scheme.has_nibbles() {
            let mut plane = [0; 16];
            for i in 0..16 {
                plane[i] = (quants[i] & 15) | (quants[16 + i] & 15) << 4;
            }
            writer.write::<16>(&plane, group);
        }
        if scheme.has_pairs() {
            let mut plane = [0; 8];
            for i in 0..32 {
                plane[i % 8] |= (quants[i] >> scheme.pair_shift() & 3) << (i / 8 * 2);
            }
            writer.write::<8>(&plane, group);
        }
        if scheme.has_singles() {
            let mut plane = [0; 4];
            for i in 0..32 {
                plane[i % 4] |= (quants[i] >> (scheme.bits - 1) & 1) << (i / 4);
            }
            writer.write::<4>(&plane, group);
        }
    }
}
