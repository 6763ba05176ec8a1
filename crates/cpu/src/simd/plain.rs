//! The plain level: four floats in an array, in ordinary Rust. Also the oracle for the other levels.

use super::{Kernel, Simd};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use crate::integers::{self, BlockTile, Order, Pairs, Width};
use half::{bf16, f16};

#[derive(Clone, Copy)]
pub(crate) struct Plain;

type Lanes = [f32; 4];

/// `f` of each lane.
#[inline(always)]
fn each(a: Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

/// `f` of each pair of lanes.
#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Plain {
    type F32 = Lanes;
    type I32 = [i32; 4];
    const LANES: usize = 4;
    const TILE_ROWS: usize = 4;
    const TILE_COLUMNS: usize = 8;
    const BLOCK_ROWS: usize = 2;
    const BLOCK_VECTORS: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; 4]
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Lanes {
        // SAFETY: the caller guarantees four readable elements.
        unsafe { p.cast::<Lanes>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Lanes {
        // SAFETY: the caller guarantees four readable elements.
        let [a, b, c, d] = unsafe { p.cast::<[f16; 4]>().read_unaligned() };
        [a.to_f32(), b.to_f32(), c.to_f32(), d.to_f32()]
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> Lanes {
        // SAFETY: the caller guarantees four readable elements.
        let [a, b, c, d] = unsafe { p.cast::<[bf16; 4]>().read_unaligned() };
        [a.to_f32(), b.to_f32(), c.to_f32(), d.to_f32()]
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Lanes) {
        // SAFETY: the caller guarantees four writable elements.
        unsafe { p.cast::<Lanes>().write_unaligned(v) }
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a / b)
    }

    // Not `f32::mul_add`: without the instruction it is a slow library call.
    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        each(a, f32::abs)
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Lanes, sign: Lanes) -> Lanes {
        zip(magnitude, sign, f32::copysign)
    }

    #[inline(always)]
    fn select_less(self, a: Lanes, b: Lanes, yes: Lanes, no: Lanes) -> Lanes {
        let mut lanes = no;
        for i in 0..4 {
            if a[i] < b[i] {
                lanes[i] = yes[i];
            }
        }
        lanes
    }

    #[inline(always)]
    fn shift_into_exponent(self, a: Lanes) -> Lanes {
        each(a, |a| f32::from_bits(a.to_bits() << 23))
    }

    #[inline(always)]
    fn bf16_pairs(self, a: Lanes) -> [Lanes; 2] {
        [each(a, |a| f32::from_bits(a.to_bits() << 16)), each(a, |a| f32::from_bits(a.to_bits() & 0xffff_0000))]
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; 4] {
        [x; 4]
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> [i32; 4] {
        // SAFETY: the caller guarantees eight readable elements.
        let pairs = unsafe { p.cast::<[[i8; 2]; 4]>().read_unaligned() };
        let mut lanes = [0; 4];
        for i in 0..4 {
            let [low, high] = pairs[i];
            lanes[i] = i32::from(low) & 0xffff | i32::from(high) << 16;
        }
        lanes
    }

    #[inline(always)]
    fn dot_i16(self, a: [i32; 4], b: [i32; 4], sum: [i32; 4]) -> [i32; 4] {
        let mut lanes = sum;
        for i in 0..4 {
            let low = i32::from(a[i] as i16) * i32::from(b[i] as i16);
            let high = (a[i] >> 16) * (b[i] >> 16);
            lanes[i] += low + high;
        }
        lanes
    }

    #[inline(always)]
    fn to_f32(self, a: [i32; 4]) -> Lanes {
        [a[0] as f32, a[1] as f32, a[2] as f32, a[3] as f32]
    }

    #[inline(always)]
    fn sum(self, a: Lanes) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }

    #[inline(always)]
    fn largest(self, a: Lanes) -> f32 {
        a[0].max(a[1]).max(a[2].max(a[3]))
    }

    #[inline(always)]
    unsafe fn multiply_tile(self, tile: &Tile) {
        // SAFETY: the caller guarantees a valid tile, whose rows and elements select the function.
        unsafe {
            match (tile.rows, tile.pairs) {
                (1, false) => multiply_rows::<1, false>(tile),
                (1, true) => multiply_rows::<1, true>(tile),
                (_, false) => multiply_rows::<4, false>(tile),
                (_, true) => multiply_rows::<4, true>(tile),
            }
        }
    }

    #[inline(always)]
    fn widen_blocks(self, blocks: WidenBlocks<'_>) {
        widen_blocks(blocks);
    }

    #[inline(always)]
    fn order(self, _: Width) -> Order {
        Order::PAIRS
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8) {
        for i in 0..16 {
            // SAFETY: the caller guarantees 16 bytes.
            unsafe {
                let place = places.add(i);
                *place = table[usize::from(*place & 15)] as u8;
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply_blocks(self, tile: &BlockTile) {
        // SAFETY: the caller guarantees a valid tile, whose rows select the function.
        unsafe { if tile.rows == 1 { multiply_quants::<1>(tile) } else { multiply_quants::<2>(tile) } }
    }
}

#[inline(never)]
fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Plain);
}

/// The register tile, not inlined into the loops around it, where its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Plain, R, 2, PAIRS>(Plain, tile) }
}

/// The register tile of products in integers.
///
/// # Safety
/// See [`BlockTile`].
#[inline(never)]
unsafe fn multiply_quants<const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Plain, Pairs, R, 2>(Plain, tile) }
}
