//! NEON: four floats per vector, a register tile of 6 rows by 16 columns; with the dot products of bytes if available
//! (all cores since 2018, FEAT_DotProd).

use super::{Kernel, Simd};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use crate::integers::{self, BlockTile, Dot, Order, Pairs, Width};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::arch::aarch64::*;
use std::arch::asm;

/// 64-bit Arm always has NEON, so the token only proves what its field says.
#[derive(Clone, Copy)]
pub(crate) struct Neon {
    /// Whether dot products of bytes are available. Only products in integers use them, so no other kernel is compiled
    /// again for them.
    has_dot: bool,
}

impl Neon {
    const PLAIN: Self = Self { has_dot: false };
}

/// # Safety
/// The machine must have FEAT_DotProd if `has_dot` is set.
#[inline]
pub(crate) unsafe fn run_neon<K: Kernel>(kernel: K, has_dot: bool) -> K::Output {
    kernel.run(Neon { has_dot })
}

/// Calls an intrinsic: every 64-bit Arm processor has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: NEON is part of the target's baseline; the caller guarantees valid pointers.
        unsafe { $intrinsic }
    };
}

impl Simd for Neon {
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;
    const BLOCK_ROWS: usize = 4;
    const BLOCK_VECTORS: usize = 2;

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
    fn splat_i32(self, x: i32) -> int32x4_t {
        call!(vdupq_n_s32(x))
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
        // SAFETY: the caller guarantees a valid tile, whose rows and elements select the function.
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

    #[inline(always)]
    fn order(self, width: Width) -> Order {
        if width == Width::Eight && !self.has_dot { Order::PAIRS } else { Order::FOURS }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8) {
        call!({
            let values = vqtbl1q_s8(vld1q_s8(table.as_ptr()), vld1q_u8(places));
            vst1q_u8(places, vreinterpretq_u8_s8(values));
        })
    }

    #[inline(always)]
    unsafe fn multiply_blocks(self, tile: &BlockTile) {
        // SAFETY: the caller guarantees a valid tile, whose rows and quants select the function.
        unsafe {
            match (tile.rows, tile.width) {
                (1, _) if self.has_dot => multiply_quants_dot::<1>(tile),
                (_, _) if self.has_dot => multiply_quants_dot::<4>(tile),
                (1, Width::Five) => multiply_quants::<Bytes<4>, 1>(tile),
                (_, Width::Five) => multiply_quants::<Bytes<4>, 4>(tile),
                (1, Width::Six) => multiply_quants::<Bytes<2>, 1>(tile),
                (_, Width::Six) => multiply_quants::<Bytes<2>, 4>(tile),
                (1, Width::Eight) => multiply_quants::<Pairs, 1>(tile),
                (_, Width::Eight) => multiply_quants::<Pairs, 4>(tile),
            }
        }
    }
}

/// Bytes without dot products: `N` vectors of products fit into 16-bit sums, which are then summed in 32 bits.
struct Bytes<const N: usize>;

impl<const N: usize> Dot<Neon> for Bytes<N> {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Neon,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[int32x4_t; V]; R],
    ) {
        // SAFETY: the caller guarantees 16 bytes for each column and 4 words for each row.
        unsafe {
            for v in 0..V {
                for first in (0..4).step_by(N) {
                    let mut w = [vdupq_n_s8(0); N];
                    for i in 0..N {
                        w[i] = vld1q_s8(quants.add(((first + i) * V + v) * 16));
                    }
                    for r in 0..R {
                        // The first two columns, and the others.
                        let mut low = vdupq_n_s16(0);
                        let mut high = vdupq_n_s16(0);
                        for i in 0..N {
                            let x = vreinterpretq_s8_s32(vdupq_n_s32(*inputs[r].add(first + i)));
                            low = vmlal_s8(low, vget_low_s8(w[i]), vget_low_s8(x));
                            high = vmlal_high_s8(high, w[i], x);
                        }
                        sums[r][v] = vpadalq_s16(sums[r][v], vpaddq_s16(low, high));
                    }
                }
            }
        }
    }
}

/// Signed bytes, four at a time.
struct SignedDot;

impl Dot<Neon> for SignedDot {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Neon,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[int32x4_t; V]; R],
    ) {
        // SAFETY: the caller guarantees the instruction, 16 bytes for each column and 4 words for each row.
        unsafe {
            for i in 0..4 {
                let mut w = [vdupq_n_s8(0); V];
                for v in 0..V {
                    w[v] = vld1q_s8(quants.add((i * V + v) * 16));
                }
                for r in 0..R {
                    let x = vreinterpretq_s8_s32(vdupq_n_s32(*inputs[r].add(i)));
                    for v in 0..V {
                        sums[r][v] = sdot(sums[r][v], w[v], x);
                    }
                }
            }
        }
    }
}

/// `sum` and the products of four bytes in each lane. The intrinsic (`vdotq_s32`) is not in stable Rust.
///
/// # Safety
/// The machine must have FEAT_DotProd.
#[inline(always)]
unsafe fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction only reads and writes these registers, and the caller guarantees that it exists.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The register tile of products in integers.
///
/// # Safety
/// See [`BlockTile`].
#[inline(never)]
unsafe fn multiply_quants<D: Dot<Neon>, const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Neon, D, R, 2>(Neon::PLAIN, tile) }
}

/// The same with dot products.
///
/// # Safety
/// See [`BlockTile`]; the machine must have FEAT_DotProd.
#[target_feature(enable = "dotprod")]
#[inline(never)]
unsafe fn multiply_quants_dot<const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Neon, SignedDot, R, 2>(Neon { has_dot: true }, tile) }
}

#[inline(never)]
fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Neon::PLAIN);
}

/// The register tile, not inlined into the loops around it, where its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Neon, R, 4, PAIRS>(Neon::PLAIN, tile) }
}
