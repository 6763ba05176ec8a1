//! AVX-512F: sixteen floats per vector, a register tile of 12 rows by 32 columns.

use super::{Kernel, Simd, avx2};
use crate::gemm::{Tile, multiply};
use half::{bf16, f16};
use std::arch::x86_64::*;

/// Proof that AVX-512F is there: only [`run_avx512`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// # Safety
/// The machine must have AVX-512F, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(crate) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Calls an intrinsic: the token in scope proves that the machine has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a token of this level exists, hence so do its instructions; pointers are vouched for by the caller.
        unsafe { $intrinsic }
    };
}

impl Simd for Avx512 {
    type F32 = __m512;
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
        // SAFETY: the caller vouches for the tile; its rows decide which shape it has.
        unsafe { if tile.rows == 1 { one_row(tile) } else { whole(tile) } }
    }
}

/// The register tile, apart from the loops around it: inlined there, its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
#[inline(never)]
unsafe fn whole(tile: &Tile) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply::<Avx512, 12, 2>(Avx512(()), tile) }
}

/// The tile of a single row.
///
/// # Safety
/// See [`Tile`].
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
#[inline(never)]
unsafe fn one_row(tile: &Tile) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply::<Avx512, 1, 2>(Avx512(()), tile) }
}
