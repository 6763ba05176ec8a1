//! AVX-512 (F and BW): sixteen floats per vector, a register tile of 12 rows by 32 columns; with the dot products of
//! AVX512-BF16 and VNNI where they are there.

use super::{Kernel, Simd, avx2};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use half::{bf16, f16};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Proof that AVX-512F and BW are there, with `DOT` also BF16 and VNNI: only the two functions below make one.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const DOT: bool>(());

/// # Safety
/// The machine must have AVX-512F, AVX-512BW, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
pub(crate) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

/// # Safety
/// As for [`run_avx512`], and it must have AVX512-BF16 and AVX512-VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn run_avx512_dot<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

/// Calls an intrinsic: the token in scope proves that the machine has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a token of this level exists, hence so do its instructions; pointers are vouched for by the caller.
        unsafe { $intrinsic }
    };
}

impl<const DOT: bool> Simd for Avx512<DOT> {
    type F32 = __m512;
    type I32 = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TILE_COLUMNS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        call!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        call!(_mm512_loadu_ps(p))
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> __m512 {
        call!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast())))))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        call!(_mm512_storeu_ps(p, v))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }

    // The instruction returns its second operand when either is a NaN.
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        call!(_mm512_abs_ps(a))
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m512, sign: __m512) -> __m512 {
        // The bitwise operations on floats are AVX-512DQ; those on integers are not.
        call!({
            let bit = _mm512_and_si512(_mm512_castps_si512(_mm512_set1_ps(-0.0)), _mm512_castps_si512(sign));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(magnitude), bit))
        })
    }

    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        call!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes))
    }

    #[inline(always)]
    fn shift_into_exponent(self, a: __m512) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a))))
    }

    #[inline(always)]
    fn bf16_pairs(self, a: __m512) -> [__m512; 2] {
        call!({
            let bits = _mm512_castps_si512(a);
            let high = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(high)]
        })
    }

    #[inline(always)]
    fn dot_bf16(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        if DOT {
            // SAFETY: with `DOT` the machine has AVX512-BF16; a `__m512bh` is the same 512 bits.
            return unsafe {
                _mm512_dpbf16_ps(sum, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b))
            };
        }
        let [a0, a1] = self.bf16_pairs(a);
        let [b0, b1] = self.bf16_pairs(b);
        self.mul_add(a0, b0, self.mul_add(a1, b1, sum))
    }

    #[inline(always)]
    fn splat_pair(self, pair: i32) -> __m512i {
        call!(_mm512_set1_epi32(pair))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> __m512i {
        call!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(p.cast())))
    }

    #[inline(always)]
    fn dot_i16(self, a: __m512i, b: __m512i, sum: __m512i) -> __m512i {
        if DOT {
            // SAFETY: with `DOT` the machine has AVX512-VNNI.
            return unsafe { _mm512_dpwssd_epi32(sum, a, b) };
        }
        call!(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b)))
    }

    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        call!(_mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        call!(_mm512_reduce_add_ps(a))
    }

    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        call!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    unsafe fn transpose8(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        call!(avx2::transpose8(from, from_row, to, to_row))
    }

    #[inline(always)]
    unsafe fn multiply_tile(self, tile: &Tile) {
        // SAFETY: the caller vouches for the tile; its rows and elements decide which shape it has.
        unsafe {
            match (tile.rows, tile.pairs) {
                (1, false) => multiply_rows::<1, false>(tile),
                (_, false) => multiply_rows::<12, false>(tile),
                (1, true) if DOT => multiply_pairs::<1>(tile),
                (_, true) if DOT => multiply_pairs::<12>(tile),
                (1, true) => multiply_rows::<1, true>(tile),
                (_, true) => multiply_rows::<12, true>(tile),
            }
        }
    }

    #[inline(always)]
    fn widen_blocks(self, blocks: WidenBlocks<'_>) {
        // SAFETY: a token of this level exists, hence so do its instructions.
        unsafe { widen_blocks(blocks) }
    }
}

/// # Safety
/// The machine must have the instructions that are named here.
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
#[inline(never)]
unsafe fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Avx512::<false>(()));
}

/// The register tile, apart from the loops around it: inlined there, its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply::<Avx512<false>, R, 2, PAIRS>(Avx512(()), tile) }
}

/// The same over pairs of bfloat16.
///
/// # Safety
/// See [`Tile`]; the machine must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_pairs<const R: usize>(tile: &Tile) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply::<Avx512<true>, R, 2, true>(Avx512(()), tile) }
}
