//! A vector of `f32` as a small trait, so that each kernel is written once and compiled per instruction set.
//!
//! Kernels are `#[inline(always)]` functions over `S: Simd`; [`Kernel::run`] is instantiated inside one
//! `#[target_feature]` function per level, which is where the intrinsics become single instructions.
//!
//! The whole kernel must end up in that function. A function that is not inlined is compiled without the level's
//! instructions, and its arguments are passed through memory. The compiler inlines across its codegen units only during
//! link-time optimisation, which an application may have disabled, and much of the standard library's generic code has
//! no `#[inline]`: `zip`, `map` of an array, `fill`, `copy_from_slice`. Kernels therefore loop over indices, use
//! [`copy`] and [`fill`], and take no closures. `tests/inlining.rs` searches for calls in the loops of the machine
//! code.

mod plain;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::run_avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{run_avx512, run_avx512_dot};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::run_neon;
pub(crate) use plain::Plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use simd128::Simd128;

use crate::blocks::WidenBlocks;
use crate::gemm::Tile;
use crate::integers::{BlockTile, Order, Width};
use half::{bf16, f16};

/// A computation that is compiled once per level. Its `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The operations on vectors of `LANES` floats. A value is a token that proves that the instructions are available.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    type F32: Copy;
    /// `LANES` 32-bit integers, or `LANES` pairs of 16-bit integers.
    type I32: Copy;
    const LANES: usize;
    /// Rows of the register tile of the matrix product.
    const TILE_ROWS: usize;
    /// Columns of the register tile: a multiple of 8 and of `LANES`.
    const TILE_COLUMNS: usize;
    /// Rows of the register tile of products in integers.
    const BLOCK_ROWS: usize;
    /// Vectors of columns of that tile.
    const BLOCK_VECTORS: usize;
    /// The number of pixels from which Winograd's convolution is faster.
    const WINOGRAD_PIXELS: usize = 1024;

    fn splat(self, x: f32) -> Self::F32;

    /// # Safety
    /// `p` must be readable for `LANES` elements; it need not be aligned.
    unsafe fn load(self, p: *const f32) -> Self::F32;

    /// Widens `LANES` half-precision floats.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn load_f16(self, p: *const f16) -> Self::F32;

    /// Widens `LANES` bfloat16 floats.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn load_bf16(self, p: *const bf16) -> Self::F32;

    /// # Safety
    /// `p` must be writable for `LANES` elements.
    unsafe fn store(self, p: *mut f32, v: Self::F32);

    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a * b + c`, fused if the machine supports it.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;

    /// The smaller of each pair; a NaN in `b` stays.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// The larger of each pair; a NaN in `b` stays.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;

    fn abs(self, a: Self::F32) -> Self::F32;

    /// `magnitude >= 0` with the sign of `sign`.
    fn with_sign(self, magnitude: Self::F32, sign: Self::F32) -> Self::F32;

    /// `yes` where `a < b`, else `no`.
    fn select_less(self, a: Self::F32, b: Self::F32, yes: Self::F32, no: Self::F32) -> Self::F32;

    /// The bits of each lane, shifted left by 23: the low bits become the exponent.
    fn shift_into_exponent(self, a: Self::F32) -> Self::F32;

    /// The pair of bfloat16 in each lane as floats, the one in the low half first.
    fn bf16_pairs(self, a: Self::F32) -> [Self::F32; 2];

    /// `sum + a[0] * b[0] + a[1] * b[1]` with the pairs of bfloat16 in each lane.
    #[inline(always)]
    fn dot_bf16(self, a: Self::F32, b: Self::F32, sum: Self::F32) -> Self::F32 {
        let [a0, a1] = self.bf16_pairs(a);
        let [b0, b1] = self.bf16_pairs(b);
        self.mul_add(a0, b0, self.mul_add(a1, b1, sum))
    }

    /// The same integer, or pair of 16-bit integers, in each lane.
    fn splat_i32(self, x: i32) -> Self::I32;

    /// Widens `2 * LANES` bytes to pairs of 16-bit integers.
    ///
    /// # Safety
    /// `p` must be readable for `2 * LANES` elements.
    unsafe fn load_pairs(self, p: *const i8) -> Self::I32;

    /// `sum + a[0] * b[0] + a[1] * b[1]` with the pairs of 16-bit integers in each lane.
    fn dot_i16(self, a: Self::I32, b: Self::I32, sum: Self::I32) -> Self::I32;

    /// The integers as floats, rounded.
    fn to_f32(self, a: Self::I32) -> Self::F32;

    /// The sum of all lanes.
    fn sum(self, a: Self::F32) -> f32;

    /// The largest lane.
    fn largest(self, a: Self::F32) -> f32;

    /// `to[j * to_row + i] = from[i * from_row + j]` for `i, j < 8`.
    ///
    /// # Safety
    /// All of these elements must be readable or writable, and the two must not overlap.
    #[inline(always)]
    unsafe fn transpose8(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: the caller guarantees i, j < 8.
                unsafe { *to.add(j * to_row + i) = *from.add(i * from_row + j) };
            }
        }
    }

    /// Runs the micro-kernel on a tile of `TILE_ROWS` rows, or on one of a single row.
    ///
    /// # Safety
    /// See [`Tile`].
    unsafe fn multiply_tile(self, tile: &Tile);

    /// Widens quantised blocks, in a separate function because it is long.
    fn widen_blocks(self, blocks: WidenBlocks<'_>);

    /// The order in which quants of this width are read.
    fn order(self, width: Width) -> Order;

    /// Replaces `4 * LANES` bytes, each below 16, by the entries of a table.
    ///
    /// # Safety
    /// `places` must be readable and writable for `4 * LANES` bytes.
    unsafe fn look_up(self, table: &[i8; 16], places: *mut u8);

    /// Runs the micro-kernel of products in integers on a tile of `BLOCK_ROWS` rows, or on one of a single row.
    ///
    /// # Safety
    /// See [`BlockTile`].
    unsafe fn multiply_blocks(self, tile: &BlockTile);
}

/// A vector from the start of `xs`, padded with zeros if `xs` is shorter.
#[inline(always)]
pub(crate) fn load_some<S: Simd>(s: S, xs: &[f32]) -> S::F32 {
    if xs.len() >= S::LANES {
        // SAFETY: there are `LANES` elements.
        return unsafe { s.load(xs.as_ptr()) };
    }
    let mut lanes = [0.0; 16];
    copy(xs, &mut lanes[..xs.len()]);
    // SAFETY: no vector is longer than 16.
    unsafe { s.load(lanes.as_ptr()) }
}

/// Stores the vector, or its start if `out` is shorter.
#[inline(always)]
pub(crate) fn store_some<S: Simd>(s: S, v: S::F32, out: &mut [f32]) {
    if out.len() >= S::LANES {
        // SAFETY: there are `LANES` elements.
        return unsafe { s.store(out.as_mut_ptr(), v) };
    }
    let mut lanes = [0.0; 16];
    // SAFETY: no vector is longer than 16.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    copy(&lanes[..out.len()], out);
}

/// `to.copy_from_slice(from)`, always inlined.
#[inline(always)]
pub(crate) fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    assert!(from.len() == to.len());
    // SAFETY: both have the same length, and a mutable slice overlaps no other.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), from.len()) };
}

/// `out.fill(value)`, always inlined.
#[inline(always)]
pub(crate) fn fill(out: &mut [f32], value: f32) {
    for out in out {
        *out = value;
    }
}

/// `map!(s, x, y => out, |a, b| f)`: `out = f(x, y)` element by element, in whole vectors and then a padded tail,
/// inside a kernel over `S`.
///
/// This is a macro and not a function with a closure, because closures are compiled separately first, without the
/// level's instructions, and would call each of them.
macro_rules! map {
    ($s:expr, $($x:ident),+ => $out:ident, |$($v:ident),+| $f:expr) => {{
        let len = $out.len();
        assert!($($x.len() == len)&&+);
        let whole = len / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: all hold a vector at `at`.
            unsafe {
                $(let $v = $s.load($x.as_ptr().add(at));)+
                $s.store($out.as_mut_ptr().add(at), $f);
            }
        }
        if whole < len {
            $(let $v = crate::simd::load_some($s, &$x[whole..]);)+
            crate::simd::store_some($s, $f, &mut $out[whole..]);
        }
    }};
}
pub(crate) use map;
