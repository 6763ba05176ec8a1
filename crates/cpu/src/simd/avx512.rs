//! AVX-512 (F and BW): sixteen floats per vector, a register tile of 12 rows by 32 columns; with the dot products of
//! AVX512-VNNI, or of that and AVX512-BF16, if available.

use super::{Kernel, Simd, avx2};
use crate::blocks::WidenBlocks;
use crate::gemm::{Tile, multiply};
use crate::integers::{self, BlockTile, Dot, Order, Pairs, Width};
use half::{bf16, f16};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Proof that AVX-512F and BW are available, with `DOT` also BF16 and VNNI: only the functions below create it.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const DOT: bool> {
    /// Whether VNNI is available. Only products in integers use it, so no other kernel is compiled again for it.
    has_vnni: bool,
}

/// # Safety
/// The machine must have AVX-512F, AVX-512BW, AVX2, FMA and F16C, and AVX512-VNNI if `has_vnni` is set.
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
pub(crate) unsafe fn run_avx512<K: Kernel>(kernel: K, has_vnni: bool) -> K::Output {
    kernel.run(Avx512::<false> { has_vnni })
}

/// # Safety
/// As for [`run_avx512`], and it must have AVX512-BF16 and AVX512-VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn run_avx512_dot<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true> { has_vnni: true })
}

/// Calls an intrinsic: the token in scope proves that the machine has it.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a token of this level proves that its instructions exist; the caller guarantees valid pointers.
        unsafe { $intrinsic }
    };
}

impl<const DOT: bool> Simd for Avx512<DOT> {
    type F32 = __m512;
    type I32 = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TILE_COLUMNS: usize = 32;
    const BLOCK_ROWS: usize = 6;
    const BLOCK_VECTORS: usize = 2;

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
    fn splat_i32(self, x: i32) -> __m512i {
        call!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    unsafe fn load_pairs(self, p: *const i8) -> __m512i {
        call!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(p.cast())))
    }

    #[inline(always)]
    fn dot_i16(self, a: __m512i, b: __m512i, sum: __m512i) -> __m512i {
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
        // SAFETY: the caller guarantees a valid tile, whose rows and elements select the function.
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
        // SAFETY: a token of this level proves that its instructions exist.
        unsafe { widen_blocks(blocks) }
    }

    #[inline(always)]
    fn order(self, width: Width) -> Order {
        match width {
            Width::Eight if self.has_vnni => Order { is_raised: true, ..Order::FOURS },
            Width::Eight => Order::PAIRS,
            Width::Five | Width::Six => Order::FOURS,
        }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8) {
        call!({
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            let values = _mm512_shuffle_epi8(table, _mm512_loadu_si512(places.cast()));
            _mm512_storeu_si512(places.cast(), values);
        })
    }

    #[inline(always)]
    unsafe fn multiply_blocks(self, tile: &BlockTile) {
        // SAFETY: the caller guarantees a valid tile, whose rows and quants select the function.
        unsafe {
            match (tile.rows, tile.width) {
                (1, _) if self.has_vnni => multiply_quants_vnni::<1>(tile),
                (_, _) if self.has_vnni => multiply_quants_vnni::<6>(tile),
                (1, Width::Five) => multiply_quants::<Bytes<4>, 1>(tile),
                (_, Width::Five) => multiply_quants::<Bytes<4>, 6>(tile),
                (1, Width::Six) => multiply_quants::<Bytes<2>, 1>(tile),
                (_, Width::Six) => multiply_quants::<Bytes<2>, 6>(tile),
                (1, Width::Eight) => multiply_quants::<Pairs, 1>(tile),
                (_, Width::Eight) => multiply_quants::<Pairs, 6>(tile),
            }
        }
    }
}

/// Unsigned times signed bytes: `N` vectors of products fit into 16-bit sums, which are then summed in 32 bits.
struct Bytes<const N: usize>;

impl<const N: usize> Dot<Avx512<false>> for Bytes<N> {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Avx512<false>,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[__m512i; V]; R],
    ) {
        // SAFETY: a token of this level exists; the caller guarantees 16 bytes for each column and 4 words for each row.
        unsafe {
            let ones = _mm512_set1_epi16(1);
            for v in 0..V {
                for first in (0..4).step_by(N) {
                    let mut w = [_mm512_setzero_si512(); N];
                    for i in 0..N {
                        w[i] = _mm512_loadu_si512(quants.add(((first + i) * V + v) * 64).cast());
                    }
                    for r in 0..R {
                        let mut sum = _mm512_maddubs_epi16(w[0], _mm512_set1_epi32(*inputs[r].add(first)));
                        for i in 1..N {
                            let x = _mm512_set1_epi32(*inputs[r].add(first + i));
                            sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(w[i], x));
                        }
                        sums[r][v] = _mm512_add_epi32(sums[r][v], _mm512_madd_epi16(sum, ones));
                    }
                }
            }
        }
    }
}

/// Unsigned times signed bytes, four at a time.
struct Vnni;

impl Dot<Avx512<false>> for Vnni {
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        _: Avx512<false>,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[__m512i; V]; R],
    ) {
        // SAFETY: the machine has VNNI; the caller guarantees 16 bytes for each column and 4 words for each row.
        unsafe {
            for i in 0..4 {
                let mut w = [_mm512_setzero_si512(); V];
                for v in 0..V {
                    w[v] = _mm512_loadu_si512(quants.add((i * V + v) * 64).cast());
                }
                for r in 0..R {
                    let x = _mm512_set1_epi32(*inputs[r].add(i));
                    for v in 0..V {
                        sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], w[v], x);
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
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_quants<D: Dot<Avx512<false>>, const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Avx512<false>, D, R, 2>(Avx512 { has_vnni: false }, tile) }
}

/// The same with VNNI.
///
/// # Safety
/// See [`BlockTile`]; the machine must have AVX512-VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_quants_vnni<const R: usize>(tile: &BlockTile) {
    // SAFETY: guaranteed by the caller.
    unsafe { integers::multiply::<Avx512<false>, Vnni, R, 2>(Avx512 { has_vnni: true }, tile) }
}

/// # Safety
/// The machine must have the instructions of the attribute.
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
#[inline(never)]
unsafe fn widen_blocks(blocks: WidenBlocks<'_>) {
    blocks.run(Avx512::<false> { has_vnni: false });
}

/// The register tile, not inlined into the loops around it, where its accumulators would not stay in registers.
///
/// # Safety
/// See [`Tile`].
#[target_feature(enable = "avx512f,avx512bw,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_rows<const R: usize, const PAIRS: bool>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Avx512<false>, R, 2, PAIRS>(Avx512 { has_vnni: false }, tile) }
}

/// The same over pairs of bfloat16.
///
/// # Safety
/// See [`Tile`]; the machine must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni,avx2,fma,f16c")]
#[inline(never)]
unsafe fn multiply_pairs<const R: usize>(tile: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply::<Avx512<true>, R, 2, true>(Avx512 { has_vnni: true }, tile) }
}
