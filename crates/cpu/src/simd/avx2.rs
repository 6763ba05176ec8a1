//! AVX2 with FMA and F16C: eight floats per vector, a register tile of 6 rows by 16 columns.

use super::{Kernel, Simd};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use crate::integers::{self, BlockTile, Dot, Order, Pairs, Width};
use half::{bf16, f16};
use std::arch::x86_64::*;

/// Proof that AVX2, FMA and F16C are available: only [`run_avx2`] creates it.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// # Safety
/// The machine must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Calls an intrinsic: the token in scope proves that the machine has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a token of this level proves that its instructions exist; the caller guarantees valid pointers.
        unsafe { $intrinsic }
    };
}

impl Simd for Avx2 {
    type F32 = __m256;
    type I32 = __m256i;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;
    const BLOCK_ROWS: usize = 4;
    const BLOCK_VECTORS: usize = 1;
    const WINOGRAD_PIXELS: usize = 256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        call!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        call!(_mm256_loadu_ps(p))
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> __m256 {
        call!(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> __m256 {
        call!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast())))))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        call!(_mm256_storeu_ps(p, v))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        call!(_mm256_fmadd_ps(a, b, c))
    }

    // The instruction returns its second operand when either is a NaN.
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        call!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m256, sign: __m256) -> __m256 {
        call!(_mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)))
    }

    #[inline(always)]
    fn select_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        call!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }

    #[inline(always)]
    fn shift_into_exponent(self, a: __m256) -> __m256 {
        call!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a))))
    }

    #[inline(always)]
    fn bf16_pairs(self, a: __m256) -> [__m256; 2] {
        call!({
            let bits = _mm256_castps_si256(a);
            let high = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)), _mm256_castsi256_ps(high)]
        })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        call!(_mm256_set1_epi32(x))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> __m256i {
        call!(_mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())))
    }

    #[inline(always)]
    fn dot_i16(self, a: __m256i, b: __m256i, sum: __m256i) -> __m256i {
        call!(_mm256_add_epi32(sum, _mm256_madd_epi16(a, b)))
    }

    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        call!(_mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        call!(_mm256_storeu_ps(lanes.as_mut_ptr(), a));
        let [a, b, c, d, e, f, g, h] = lanes;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        call!(_mm256_storeu_ps(lanes.as_mut_ptr(), a));
        let [a, b, c, d, e, f, g, h] = lanes;
        a.max(b).max(c.max(d)).max(e.max(f).max(g.max(h)))
    }

    #[inline(always)]
    unsafe fn transpose8(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        call!(transpose8(from, from_row, to, to_row))
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
        // SAFETY: a token of this level proves that its instructions exist.
        unsafe { widen_blocks(blocks) }
    }

    #[inline(always)]
    fn order(self, width: Width) -> Order {
        if width == Width::Eight { Order::PAIRS } else { Order::FOURS }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8) {
        call!({
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            let values = _mm256_shuffle_epi8(table, _mm256_loadu_si256(places.cast()));
            _mm256_storeu_si256(places.cast(), values);
        })
    }

    #[inline(always)]
    unsafe fn multiply_blocks(self, tile: &BlockTile) {
        // SAFETY: the caller guarantees a valid tile, whose rows and quants select the function.
        unsafe {
            match (tile.rows, tile.width) {
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

/// Unsigned times signed bytes: `N` vectors of products fit into 16-bit sums, which are then summed in 32 bits.
struct Bytes<const N: usize>;

impl<const N: usize> Dot<Avx2> for Bytes<N> {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Avx2,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[__m256i; V]; R],
    ) {
        // SAFETY: a token of this level exists; the caller guarantees 16 bytes for each column and 4 words for each row.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            for v in 0..V {
                for first in (0..4).step_by(N) {
                    let mut w = [_mm256_setzero_si256(); N];
                    for i in 0..N {
                        w[i] = _mm256_loadu_si256(quants.add(((first + i) * V + v) * 32).cast());
                    }
                    for r in 0..R {
                        let mut sum = _mm256_maddubs_epi16(w[0], _mm256_set1_epi32(*inputs[r].add(first)));
                        for i in 1..N {
                            let x = _mm256_set1_epi32(*inputs[r].add(first + i));
                            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w[i], x));
                        }
                        sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(sum, ones));
                    }
                }
            }
        }
    }
}

/// The register tile of products in integers.
///
/// # Safety
/// See [`BlockTile`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_quants<D: Dot<Avx2>, const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Avx2, D, R, 1>(Avx2(()), tile) }
}

/// # Safety
/// The machine must have the instructions of the attribute.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Avx2(()));
}

/// The register tile, not inlined into the loops around it, where its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Avx2, R, 2, PAIRS>(Avx2(()), tile) }
}

/// An 8x8 transposition: halves of rows `i` and `i + 4` share a vector, then 4x4 within each half.
///
/// # Safety
/// See [`Simd::transpose8`]; the machine must have AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    for half in 0..2 {
        // SAFETY: rows 0..8 and columns 0..8 of both are guaranteed by the caller.
        unsafe {
            let row = |i: usize| {
                let low = _mm_loadu_ps(from.add(i * from_row + half * 4));
                let high = _mm_loadu_ps(from.add((i + 4) * from_row + half * 4));
                _mm256_set_m128(high, low)
            };
            let a = row(0);
            let b = row(1);
            let c = row(2);
            let d = row(3);
            let ab_low = _mm256_unpacklo_ps(a, b);
            let ab_high = _mm256_unpackhi_ps(a, b);
            let cd_low = _mm256_unpacklo_ps(c, d);
            let cd_high = _mm256_unpackhi_ps(c, d);
            let columns = [
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
            ];
            for j in 0..4 {
                _mm256_storeu_ps(to.add((half * 4 + j) * to_row), columns[j]);
            }
        }
    }
}
