//! NEON: four floats per vector, a register tile of 6 rows by 16 columns.

use super::{Kernel, Simd};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::arch::aarch64::*;

/// 64-bit Arm always has NEON, so the token needs no proof.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Calls an intrinsic: every 64-bit Arm processor has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: NEON is part of the target's baseline; pointers are vouched for by the caller.
        unsafe { $intrinsic }
    };
}

impl Simd for Neon {
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        call!(vdupq_n_f32(x))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        call!(vld1q_f32(p))
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> float32x4_t {
        // The conversion instruction is not in stable Rust; `half` writes it in assembly where the machine has it.
        let mut lanes = [0.0; 4];
        call!(p.cast::<[f16; 4]>().read_unaligned()).convert_to_f32_slice(&mut lanes);
        call!(vld1q_f32(lanes.as_ptr()))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> float32x4_t {
        call!(vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.cast()))))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4_t) {
        call!(vst1q_f32(p, v))
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        call!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vminq_f32(a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        call!(vmaxq_f32(a, b))
    }

    #[inline(always)]
    fn abs(self, a: float32x4_t) -> float32x4_t {
        call!(vabsq_f32(a))
    }

    #[inline(always)]
    fn with_sign(self, magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
        call!(vbslq_f32(vdupq_n_u32(1 << 31), sign, magnitude))
    }

    #[inline(always)]
    fn select_less(self, a: float32x4_t, b: float32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        call!(vbslq_f32(vcltq_f32(a, b), yes, no))
    }

    #[inline(always)]
    fn shift_into_exponent(self, a: float32x4_t) -> float32x4_t {
        call!(vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(a))))
    }

    #[inline(always)]
    fn bf16_pairs(self, a: float32x4_t) -> [float32x4_t; 2] {
        call!({
            let bits = vreinterpretq_u32_f32(a);
            let high = vandq_u32(bits, vdupq_n_u32(0xffff_0000));
            [vreinterpretq_f32_u32(vshlq_n_u32::<16>(bits)), vreinterpretq_f32_u32(high)]
        })
    }

    #[inline(always)]
    fn splat_pair(self, pair: i32) -> int32x4_t {
        call!(vdupq_n_s32(pair))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> int32x4_t {
        call!(vreinterpretq_s32_s16(vmovl_s8(vld1_s8(p))))
    }

    #[inline(always)]
    fn dot_i16(self, a: int32x4_t, b: int32x4_t, sum: int32x4_t) -> int32x4_t {
        call!({
            let a = vreinterpretq_s16_s32(a);
            let b = vreinterpretq_s16_s32(b);
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(a, b)))
        })
    }

    #[inline(always)]
    fn to_f32(self, a: int32x4_t) -> float32x4_t {
        call!(vcvtq_f32_s32(a))
    }

    #[inline(always)]
    fn sum(self, a: float32x4_t) -> f32 {
        call!(vaddvq_f32(a))
    }

    #[inline(always)]
    fn largest(self, a: float32x4_t) -> f32 {
        call!(vmaxvq_f32(a))
    }

    #[inline(always)]
    unsafe fn multiply_tile(self, tile: &Tile) {
        // SAFETY: the caller vouches for the tile; its rows and elements decide which shape it has.
        unsafe {
            match (tile.rows, tile.pairs) {
                (1, false) => multiply_rows::<1, false>(tile),
                (1, true) => multiply_rows::<1, true>(tile),
                (_, false) => multiply_rows::<6, false>(tile),
                (_, true) => multiply_rows::<6, true>(tile),
            }
        }
    }

    #[inline(always)]
    fn widen_blocks(self, blocks: WidenBlocks<'_>) {
        widen_blocks(blocks);
    }
}

#[inline(never)]
fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Neon);
}

/// The register tile, apart from the loops around it: inlined there, its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply::<Neon, R, 4, PAIRS>(Neon, tile) }
}
