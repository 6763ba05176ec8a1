//! Unpacks blocks of a panel: quants as bytes in the micro-kernel's order, scales and minimums as floats.
//!
//! The result is in the first-level cache and is used for all rows of a task. The loops run over the bytes of all
//! columns, so that they are vectorised.

use super::panels::Panels;
use crate::blocks::{Codes, VALUES};
use crate::simd::{Simd, copy};
use half::f16;

/// Weights along `k` that are unpacked at a time: the longest block.
pub(super) const SLICE: usize = 256;
/// The widest panel of any level.
const WIDEST: usize = 32;

/// The buffer of a slice.
pub(super) struct Room<'a> {
    quants: &'a mut [u8],
    scales: &'a mut [f32],
    least: &'a mut [f32],
}

impl<'a> Room<'a> {
    /// Floats of a buffer for panels of this width.
    #[inline(always)]
    pub(super) const fn floats(columns: usize) -> usize {
        columns * (SLICE / 4 + 2 * SLICE / 16)
    }

    #[inline(always)]
    pub(super) fn new(floats: &'a mut [f32], columns: usize) -> Self {
        let (quants, floats) = floats.split_at_mut(columns * SLICE / 4);
        let (scales, least) = floats.split_at_mut(columns * SLICE / 16);
        Self { quants: bytemuck::cast_slice_mut(quants), scales, least }
    }
}

/// An unpacked slice for the micro-kernel.
pub(super) struct Slice {
    pub(super) quants: *const i8,
    /// Bytes from one group of 32 weights to the next.
    pub(super) stride: usize,
    pub(super) scales: *const f32,
    /// The minimums, or null.
    pub(super) least: *const f32,
}

/// Unpacks blocks `range` of a panel. Signed bytes are used in place.
#[inline(always)]
pub(super) fn unpack<S: Simd>(s: S, panels: &Panels, panel: usize, range: [usize; 2], room: &mut Room<'_>) -> Slice {
    let columns = S::BLOCK_VECTORS * S::LANES;
    let scheme = panels.format.scheme();
    let length = panels.format.length();
    let blocks = panels.slice(panel, range);
    let size = panels.block_bytes();
    let planes = size - length * scheme.bits / 8 * columns;
    let groups = length / scheme.shared;
    for i in 0..range[1] - range[0] {
        let block = &blocks[i * size..][..size];
        let scales = &mut room.scales[i * groups * columns..][..groups * columns];
        let least = &mut room.least[i * groups * columns..][..groups * columns];
        unpack_scales::<S>(s, panels, &block[..planes], scales, least);
        if scheme.bits == 8 {
            continue;
        }
        let plane_bytes = 4 * scheme.bits * columns;
        for part in 0..length / 32 {
            let plane = &block[planes + part * plane_bytes..][..plane_bytes];
            let quants = &mut room.quants[(i * length / 32 + part) * 32 * columns..][..32 * columns];
            unpack_quants::<S>(s, panels, plane, quants);
        }
    }
    let least = if scheme.least { room.least.as_ptr() } else { std::ptr::null() };
    let scales = room.scales.as_ptr();
    if scheme.bits == 8 {
        return Slice { quants: blocks[planes..].as_ptr().cast(), stride: size, scales, least };
    }
    Slice { quants: room.quants.as_ptr().cast(), stride: 32 * columns, scales, least }
}

/// A half-precision float for each column.
#[inline(always)]
fn halves<S: Simd>(s: S, bytes: &[u8]) -> [f32; WIDEST] {
    let mut out = [0.0; WIDEST];
    for v in 0..S::BLOCK_VECTORS {
        let at = v * S::LANES;
        let halves = bytes[2 * at..][..2 * S::LANES].as_ptr().cast::<f16>();
        let out = &mut out[at..][..S::LANES];
        // SAFETY: both hold `LANES` elements.
        unsafe { s.store(out.as_mut_ptr(), s.load_f16(halves)) };
    }
    out
}

/// Reads the scales and minimums of all groups of a block from its head.
#[inline(always)]
fn unpack_scales<S: Simd>(s: S, panels: &Panels, head: &[u8], scales: &mut [f32], least: &mut [f32]) {
    let columns = S::BLOCK_VECTORS * S::LANES;
    let scheme = panels.format.scheme();
    let scale = halves(s, head);
    let codes = &head[2 * scheme.halves.len() * columns..];
    let mut least_scale = [0.0; WIDEST];
    if scheme.least {
        least_scale = halves(s, &head[2 * columns..]);
    }
    let count = scales.len();
    assert!(least.len() == count && count.is_multiple_of(columns));
    match scheme.codes {
        Codes::None => {
            copy(&scale[..columns], &mut scales[..columns]);
            copy(&least_scale[..columns], &mut least[..columns]);
        }
        Codes::Nibbles => {
            for at in (0..count).step_by(columns) {
                let codes = &codes[at..][..columns];
                let scales = &mut scales[at..][..columns];
                let least = &mut least[at..][..columns];
                for c in 0..columns {
                    scales[c] = scale[c] * f32::from(codes[c] & 15);
                    least[c] = -(least_scale[c] * f32::from(codes[c] >> 4));
                }
            }
        }
        Codes::Six => {
            for at in (0..count).step_by(columns) {
                let scale_codes = &codes[at..][..columns];
                let least_codes = &codes[count + at..][..columns];
                let scales = &mut scales[at..][..columns];
                let least = &mut least[at..][..columns];
                for c in 0..columns {
                    scales[c] = scale[c] * f32::from(scale_codes[c]);
                    least[c] = -(least_scale[c] * f32::from(least_codes[c]));
                }
            }
        }
        Codes::Signed => {
            for at in (0..count).step_by(columns) {
                let codes = &codes[at..][..columns];
                let scales = &mut scales[at..][..columns];
                for c in 0..columns {
                    scales[c] = scale[c] * f32::from(codes[c] as i8);
                }
            }
        }
    }
}

/// Reads the quants of 32 weights of all columns from their planes.
#[inline(always)]
fn unpack_quants<S: Simd>(s: S, panels: &Panels, planes: &[u8], out: &mut [u8]) {
    let columns = S::BLOCK_VECTORS * S::LANES;
    let scheme = panels.format.scheme();
    assert!(out.len() == 32 * columns);
    let mut planes = planes;
    if scheme.has_nibbles() {
        let half = 16 * columns;
        let nibbles = &planes[..half];
        for i in 0..half {
            out[i] = nibbles[i] & 15;
        }
        let high = &mut out[half..][..half];
        for i in 0..half {
            high[i] = nibbles[i] >> 4;
        }
        planes = &planes[half..];
    } else {
        for i in 0..32 * columns {
            out[i] = 0;
        }
    }
    if scheme.has_pairs() {
        let quarter = 8 * columns;
        let pairs = &planes[..quarter];
        match scheme.pair_shift() {
            0 => add_pairs::<0>(pairs, out),
            _ => add_pairs::<4>(pairs, out),
        }
        planes = &planes[quarter..];
    }
    if scheme.has_singles() {
        let eighth = 4 * columns;
        let singles = &planes[..eighth];
        let unit = 1_u8 << (scheme.bits - 1);
        for part in 0..8 {
            let out = &mut out[part * eighth..][..eighth];
            let bit = 1_u8 << part;
            for i in 0..eighth {
                out[i] |= if singles[i] & bit == 0 { 0 } else { unit };
            }
        }
    }
    if scheme.table {
        let mut values = VALUES;
        for i in 0..16 {
            values[i] ^= if panels.shape.order.is_raised { -128 } else { 0 };
        }
        for at in (0..32 * columns).step_by(4 * S::LANES) {
            let places = out[at..][..4 * S::LANES].as_mut_ptr();
            // SAFETY: there are `4 * LANES` bytes, all of them below 16.
            unsafe { s.look_up(&values, places) };
        }
    }
}

/// Sets two bits at `SHIFT` of quants, four of them from each byte. With shifts by a number that is only known at run
/// time, the loop would not be vectorised.
#[inline(always)]
fn add_pairs<const SHIFT: usize>(pairs: &[u8], out: &mut [u8]) {
    let count = pairs.len();
    assert!(out.len() == 4 * count);
    add_pair::<0, SHIFT>(pairs, &mut out[..count]);
    add_pair::<2, SHIFT>(pairs, &mut out[count..][..count]);
    add_pair::<4, SHIFT>(pairs, &mut out[2 * count..][..count]);
    add_pair::<6, SHIFT>(pairs, &mut out[3 * count..][..count]);
}

/// Moves the two bits at `FROM` of each byte to `TO`.
#[inline(always)]
fn add_pair<const FROM: usize, const TO: usize>(pairs: &[u8], out: &mut [u8]) {
    for i in 0..out.len() {
        out[i] |= (pairs[i] >> FROM & 3) << TO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::enter;
    use crate::simd::Kernel;
    use crate::{BlockFormat, Level};

    /// The weights `[panel][k][column]` of a panel.
    struct Restore<'a>(&'a Panels, usize);

    impl Kernel for Restore<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let Self(panels, panel) = self;
            let columns = S::BLOCK_VECTORS * S::LANES;
            let scheme = panels.format.scheme();
            let group = panels.shape.order.group;
            let mut floats = vec![f32::NAN; Room::floats(columns)];
            let mut room = Room::new(&mut floats, columns);
            let mut weights = Vec::new();
            for block in 0..panels.blocks {
                let slice = unpack(s, panels, panel, [block, block + 1], &mut room);
                for i in 0..panels.format.length() {
                    for column in 0..columns {
                        let at = i / 32 * slice.stride + (i % 32 / group * columns + column) * group + i % group;
                        let float = i / scheme.shared * columns + column;
                        // SAFETY: the slice has a quant for each weight and a scale for each group of them.
                        let (quant, scale) = unsafe { (*slice.quants.add(at), *slice.scales.add(float)) };
                        let quant =
                            if panels.shape.order.is_raised { i32::from(quant as u8) - 128 } else { i32::from(quant) };
                        let least = if slice.least.is_null() {
                            0.0
                        } else {
                            // SAFETY: as above.
                            unsafe { *slice.least.add(float) }
                        };
                        weights.push(scale * (quant - scheme.offset) as f32 + least);
                    }
                }
            }
            weights
        }
    }

    /// Blocks of random bits, with moderate half-precision scales.
    fn blocks(format: BlockFormat, count: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut bytes: Vec<u8> = std::iter::repeat_with(next).take(count * format.bytes()).collect();
        for block in bytes.chunks_exact_mut(format.bytes()) {
            for at in format.scheme().halves {
                block[at + 1] = block[at + 1] & 0x87 | 0x30;
            }
        }
        bytes
    }

    #[test]
    fn panels_stand_for_the_weights_of_their_blocks() {
        for level in Level::available() {
            for format in BlockFormat::ALL.iter().copied() {
                let n = 37;
                let k = 2 * format.length();
                let bytes = blocks(format, 2 * n);
                let mut wide = vec![f32::NAN; n * k];
                format.widen(&bytes, &mut wide);
                let panels = enter(|| Panels::new(level, format, &bytes, n));
                let columns = panels.shape.tile.columns;
                for panel in 0..n.div_ceil(columns) {
                    let got = level.run(Restore(&panels, panel));
                    for column in 0..columns.min(n - panel * columns) {
                        let row = &wide[(panel * columns + column) * k..][..k];
                        for (i, want) in row.iter().enumerate() {
                            let got = got[i * columns + column];
                            assert!(got == *want, "{level:?} {format:?} {column} {i}: {got} instead of {want}");
                        }
                    }
                }
            }
        }
    }
}
