//! WebAssembly `simd128`: four floats per vector, no fused multiply-add, a register tile of 4 rows by 8 columns.

use super::{Kernel, Simd};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
#[cfg(target_feature = "relaxed-simd")]
use crate::integers::Dot;
use crate::integers::{self, BlockTile, Order, Pairs, Width};
use half::{bf16, f16};
use std::arch::wasm32::*;

/// The target feature is set for the whole build, so the token needs no proof.
#[derive(Clone, Copy)]
pub(crate) struct Simd128;

impl Simd for Simd128 {
    type F32 = v128;
    type I32 = v128;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 4;
    const TILE_COLUMNS: usize = 8;
    const BLOCK_ROWS: usize = 2;
    const BLOCK_VECTORS: usize = 2;
    const WINOGRAD_PIXELS: usize = 64;

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> v128 {
        // SAFETY: the caller guarantees four readable elements.
        unsafe { v128_load(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> v128 {
        // SAFETY: the caller guarantees four readable elements.
        let bits = unsafe { u32x4_load_extend_u16x4(p.cast()) };
        widen_f16(bits)
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> v128 {
        // SAFETY: the caller guarantees four readable elements.
        u32x4_shl(unsafe { u32x4_load_extend_u16x4(p.cast()) }, 16)
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: v128) {
        // SAFETY: the caller guarantees four writable elements.
        unsafe { v128_store(p.cast(), v) }
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn div(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_add(f32x4_mul(a, b), c)
    }

    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        // Not `f32x4_min`, which costs several instructions on x86; this is one.
        f32x4_pmin(b, a)
    }

    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        f32x4_pmax(b, a)
    }

    #[inline(always)]
    fn abs(self, a: v128) -> v128 {
        f32x4_abs(a)
    }

    #[inline(always)]
    fn with_sign(self, magnitude: v128, sign: v128) -> v128 {
        v128_bitselect(sign, magnitude, u32x4_splat(1 << 31))
    }

    #[inline(always)]
    fn select_less(self, a: v128, b: v128, yes: v128, no: v128) -> v128 {
        v128_bitselect(yes, no, f32x4_lt(a, b))
    }

    #[inline(always)]
    fn shift_into_exponent(self, a: v128) -> v128 {
        u32x4_shl(a, 23)
    }

    #[inline(always)]
    fn bf16_pairs(self, a: v128) -> [v128; 2] {
        [u32x4_shl(a, 16), v128_and(a, u32x4_splat(0xffff_0000))]
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> v128 {
        i32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> v128 {
        // SAFETY: the caller guarantees eight readable elements.
        unsafe { i16x8_load_extend_i8x8(p) }
    }

    #[inline(always)]
    fn dot_i16(self, a: v128, b: v128, sum: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    fn to_f32(self, a: v128) -> v128 {
        f32x4_convert_i32x4(a)
    }

    #[inline(always)]
    fn sum(self, a: v128) -> f32 {
        (f32x4_extract_lane::<0>(a) + f32x4_extract_lane::<2>(a))
            + (f32x4_extract_lane::<1>(a) + f32x4_extract_lane::<3>(a))
    }

    #[inline(always)]
    fn largest(self, a: v128) -> f32 {
        let low = f32x4_extract_lane::<0>(a).max(f32x4_extract_lane::<1>(a));
        low.max(f32x4_extract_lane::<2>(a).max(f32x4_extract_lane::<3>(a)))
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
    fn order(self, width: Width) -> Order {
        if cfg!(target_feature = "relaxed-simd") && width != Width::Eight { Order::FOURS } else { Order::PAIRS }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8) {
        // SAFETY: the caller guarantees 16 bytes.
        unsafe {
            let values = i8x16_swizzle(v128_load(table.as_ptr().cast()), v128_load(places.cast()));
            v128_store(places.cast(), values);
        }
    }

    #[inline(always)]
    unsafe fn multiply_blocks(self, tile: &BlockTile) {
        // SAFETY: the caller guarantees a valid tile, whose rows and quants select the function.
        unsafe {
            match (tile.rows, tile.width) {
                #[cfg(target_feature = "relaxed-simd")]
                (1, Width::Five | Width::Six) => multiply_quants_relaxed::<1>(tile),
                #[cfg(target_feature = "relaxed-simd")]
                (_, Width::Five | Width::Six) => multiply_quants_relaxed::<2>(tile),
                (1, _) => multiply_quants::<1>(tile),
                _ => multiply_quants::<2>(tile),
            }
        }
    }
}

/// The register tile of products in integers.
///
/// # Safety
/// See [`BlockTile`].
#[inline(never)]
unsafe fn multiply_quants<const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Simd128, Pairs, R, 2>(Simd128, tile) }
}

/// Signed bytes times bytes below 64, four at a time. Processors differ in the handling of products that overflow 16 bits,
/// but these do not overflow, so the results are the same everywhere.
#[cfg(target_feature = "relaxed-simd")]
struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl Dot<Simd128> for Relaxed {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Simd128,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[v128; V]; R],
    ) {
        // SAFETY: the caller guarantees 16 bytes for each column and 4 words for each row.
        unsafe {
            for i in 0..4 {
                let mut w = [i32x4_splat(0); V];
                for v in 0..V {
                    w[v] = v128_load(quants.add((i * V + v) * 16).cast());
                }
                for r in 0..R {
                    let x = i32x4_splat(*inputs[r].add(i));
                    for v in 0..V {
                        sums[r][v] = i32x4_relaxed_dot_i8x16_i7x16_add(x, w[v], sums[r][v]);
                    }
                }
            }
        }
    }
}

/// The register tile with relaxed dot products.
///
/// # Safety
/// See [`BlockTile`].
#[cfg(target_feature = "relaxed-simd")]
#[inline(never)]
unsafe fn multiply_quants_relaxed<const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Simd128, Relaxed, R, 2>(Simd128, tile) }
}

#[inline(never)]
fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Simd128);
}

/// The register tile, not inlined into the loops around it, where its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Simd128, R, 2, PAIRS>(Simd128, tile) }
}

/// Half precision in the low 16 bits of each lane to `f32`, subnormal, infinite and NaN values included.
#[inline(always)]
fn widen_f16(bits: v128) -> v128 {
    let sign = u32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16);
    let magnitude = u32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
    // The exponent is too small by 127 - 15. The multiplication corrects that, also for subnormal numbers.
    let scaled = f32x4_mul(magnitude, f32x4_splat(f32::from_bits((254 - 15) << 23)));
    let special = u32x4_ge(magnitude, u32x4_splat(0x7c00 << 13));
    let all_ones = v128_and(special, u32x4_splat(0xff << 23));
    v128_or(v128_or(scaled, all_ones), sign)
}
