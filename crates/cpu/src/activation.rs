//! Activation functions on `f32` slices, with an exponential that the compiler can vectorise.

use crate::parallel::for_each_chunk;
use crate::simd::vectorised;

/// An elementwise function applied at the end of a kernel or on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * Phi(x)` with the exact error function.
    Gelu,
    /// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP has it.
    QuickGelu,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The function at one point.
    #[inline(always)]
    pub fn at(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            // Not `f32::max`: it would turn a NaN into 0 and hide a broken model.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Silu => x * sigmoid(x),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::QuickGelu => x * sigmoid(1.702 * x),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => sigmoid(x),
        }
    }

    /// Applies the function in place, on the calling thread.
    pub fn apply(self, xs: &mut [f32]) {
        apply(self, xs);
    }

    /// Applies the function in place, on all cores.
    pub fn apply_parallel(self, xs: &mut [f32]) {
        if self != Self::None {
            for_each_chunk(xs, 16 * 1024, |_, chunk| self.apply(chunk));
        }
    }
}

/// GEGLU (<https://arxiv.org/abs/2002.05202>): `[rows, 2 * width]` to `[rows, width]`, `left * gelu(right)`.
pub fn geglu(x: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(x.len(), out.len() * 2);
    for_each_chunk(out, width, |row, out| {
        let (left, right) = x[row * 2 * width..][..2 * width].split_at(width);
        gate(left, right, out);
    });
}

vectorised! {
    fn gate(left: &[f32], right: &[f32], out: &mut [f32]) {
        for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
            *out = left * gelu(*right);
        }
    }
}

vectorised! {
    fn apply(activation: Activation, xs: &mut [f32]) {
        // One loop for each function, so that each one vectorises.
        macro_rules! each {
            ($x:ident, $value:expr) => {
                for x in xs {
                    let $x = *x;
                    *x = $value;
                }
            };
        }
        match activation {
            Activation::None => {}
            Activation::Relu => each!(x, if x < 0.0 { 0.0 } else { x }),
            Activation::Silu => each!(x, x * sigmoid(x)),
            Activation::Gelu => each!(x, gelu(x)),
            Activation::GeluTanh => each!(x, gelu_tanh(x)),
            Activation::QuickGelu => each!(x, x * sigmoid(1.702 * x)),
            Activation::Tanh => each!(x, x.tanh()),
            Activation::Sigmoid => each!(x, sigmoid(x)),
        }
    }
}

/// `x * Phi(x)`, where the tail `Phi(-|x|)` is computed without cancellation.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let tail = x * 0.5 * erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    if x < 0.0 { tail } else { x - tail }
}

/// `0.5 (1 + tanh(u))` is `sigmoid(2 u)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWICE_SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x))
}

/// The complementary error function of `x >= 0`, to a few ulp: `exp(-x^2)` times a polynomial in `1 / (1 + 0.3 x)`.
///
/// The form is Hastings' (formula 7.1.26 of Abramowitz and Stegun); the coefficients are a fit of degree 9 with a relative
/// error of 2e-8.
#[inline(always)]
fn erfc(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 9] = [
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
    let t = 1.0 / (1.0 + 0.3 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| sum * t + c) * t;
    exp(-x * x) * polynomial
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `e^x` to about 1 ulp: `2^n * p(r)` with the split and the polynomial of Cephes' `expf`.
///
/// Below -87.3 the result is a tiny positive number, above 88.7 it is infinite; a NaN stays a NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts: the high one has few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.3, 89.0);
    // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits: no conversion is needed.
    const ROUND: f32 = 12_582_912.0;
    let rounded = clamped * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let fraction = p * r * r + r + 1.0;
    // In two halves: 2^128 alone is not an f32.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    fraction * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_over_the_whole_range() {
        let mut x = -87.0_f32;
        while x < 88.0 {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}): relative error {error:e}");
            x += 0.0137;
        }
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1.3e-38);
        assert_eq!(exp(f32::NEG_INFINITY), exp(-1000.0));
        assert_eq!(exp(1000.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_matches_the_error_function() {
        let mut x = -12.0_f32;
        while x < 12.0 {
            let exact = 0.5 * f64::from(x) * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
            let error = (f64::from(gelu(x)) - exact).abs();
            // Relative where the value is tiny: a sum with 1 would have lost it.
            assert!(error <= 5e-7 * exact.abs() * (1.0 + f64::from(x * x)), "gelu({x}): {error:e} of {exact:e}");
            x += 0.0113;
        }
    }

    #[test]
    fn gelu_tanh_matches_its_definition() {
        let mut x = -9.0_f32;
        while x < 9.0 {
            let wide = f64::from(x);
            let exact = 0.5 * wide * (1.0 + (0.797_884_560_802_865_4 * (wide + 0.044_715 * wide.powi(3))).tanh());
            assert!((f64::from(gelu_tanh(x)) - exact).abs() < 3e-7 * (1.0 + wide.abs()), "gelu_tanh({x})");
            x += 0.0113;
        }
    }

    #[test]
    fn nan_is_never_hidden() {
        use Activation::*;
        for activation in [None, Relu, Silu, Gelu, GeluTanh, QuickGelu, Tanh, Sigmoid] {
            let mut xs = [f32::NAN; 3];
            activation.apply(&mut xs);
            assert!(xs.iter().all(|x| x.is_nan()), "{activation:?}");
        }
    }

    #[test]
    fn geglu_multiplies_left_by_gelu_of_right() {
        let mut out = [0.0; 2];
        geglu(&[2.0, 3.0, 1.0, -1.0], 2, &mut out);
        assert!((out[0] - 2.0 * 0.841_344_7).abs() < 1e-6);
        assert!((out[1] - 3.0 * -0.158_655_26).abs() < 1e-6);
    }
}
