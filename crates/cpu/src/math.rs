//! Transcendental functions on vectors: `exp` after Cephes' `expf`, `erfc` and `tanh` built on it.

use crate::simd::Simd;

/// Adding and subtracting `1.5 * 2^23` rounds to an integer; the additional 127 leaves the biased exponent in the low
/// bits.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `e^x` to 2 ulp. Below -87.3 the result is about 1e-38, above 88.3 it is infinite; a NaN stays a NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // ln 2 in two parts: the high one has few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = s.min(s.splat(88.7), s.max(s.splat(-87.3), x));
    let shifted = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(shifted, s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-LN2_LOW), s.mul_add(n, s.splat(-LN2_HIGH), x));
    const TERMS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let p = horner(s, TERMS, r);
    let fraction = s.add(s.mul_add(s.mul(p, r), r, r), s.splat(1.0));
    s.mul(fraction, s.shift_into_exponent(shifted))
}

/// `2^x` for `x <= 0`, to 2 ulp of the exact result; below -126 about 1e-38. A softmax needs no other range.
#[inline(always)]
pub(crate) fn exp2_of_negative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.max(s.splat(-126.0), x);
    let shifted = s.add(x, s.splat(ROUND));
    let r = s.sub(x, s.sub(shifted, s.splat(ROUND)));
    // The Taylor series of 2^r, shifted to the range -0.5..0.5 by a minimax fit.
    const TERMS: [f32; 7] =
        [1.535_333_6e-4, 1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_7e-1, 6.931_472e-1, 1.0];
    s.mul(horner(s, TERMS, r), s.shift_into_exponent(shifted))
}

/// The polynomial with these coefficients, the highest power first.
#[inline(always)]
fn horner<S: Simd, const N: usize>(s: S, terms: [f32; N], x: S::F32) -> S::F32 {
    let mut sum = s.splat(terms[0]);
    for i in 1..N {
        sum = s.mul_add(sum, x, s.splat(terms[i]));
    }
    sum
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// The complementary error function of `x >= 0`, to a few ulp: `exp(-x^2)` times a polynomial in `1 / (1 + 0.3 x)`.
///
/// The form is Hastings' (formula 7.1.26 of Abramowitz and Stegun); the coefficients are a fit of degree 9 with a relative
/// error of 2e-8.
#[inline(always)]
fn erfc<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const TERMS: [f32; 9] = [
        -0.129_253_01,
        0.484_300_9,
        -0.509_771_1,
        0.544_965_86,
        -0.092_825_57,
        0.214_181_32,
        0.148_521_26,
        0.170_690_93,
        0.169_189_35,
    ];
    let one = s.splat(1.0);
    let t = s.div(one, s.mul_add(x, s.splat(0.3), one));
    let gauss = exp(s, s.mul(s.sub(s.splat(0.0), x), x));
    s.mul(gauss, s.mul(horner(s, TERMS, t), t))
}

/// `x * Phi(x)` with the exact error function, where the tail `Phi(-|x|)` is computed without cancellation.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let root = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let tail = s.mul(s.mul(x, s.splat(0.5)), erfc(s, root));
    s.select_less(x, s.splat(0.0), tail, s.sub(x, tail))
}

/// `tanh(x)` to 3 ulp: an odd polynomial near zero, `1 - 2 / (e^2x + 1)` elsewhere.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Cephes' tanhf.
    const TERMS: [f32; 5] = [-5.704_988_7e-3, 2.063_908_6e-2, -5.373_972e-2, 1.333_144_2e-1, -3.333_328e-1];
    let t = s.abs(x);
    let square = s.mul(x, x);
    let near = s.mul_add(s.mul(horner(s, TERMS, square), square), x, x);
    let one = s.splat(1.0);
    let far = s.sub(one, s.div(s.splat(2.0), s.add(exp(s, s.add(t, t)), one)));
    s.select_less(t, s.splat(0.625), near, s.with_sign(far, x))
}
