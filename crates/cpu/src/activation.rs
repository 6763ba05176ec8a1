//! Activation functions on `f32` slices, vectorised at every level.

use crate::Level;
use crate::math::{gelu, sigmoid, tanh};
use crate::parallel::{CHUNK, for_each_chunk, for_each_pair};
use crate::simd::{Kernel, Plain, Simd, load_some, map, store_some};

/// An elementwise function, applied at the end of a kernel or separately. All of them propagate NaN.
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
    /// `x * sigmoid(1.702 x)`, as in OpenAI's CLIP.
    QuickGelu,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Runs the body with the function as a constant: each function has its own loop, in which its constants stay in
/// registers.
macro_rules! for_activation {
    ($activation:expr, |$act:ident| $body:expr) => {
        for_activation!(@ $activation, $act, $body, None Relu Silu Gelu GeluTanh QuickGelu Tanh Sigmoid)
    };
    (@ $activation:expr, $act:ident, $body:expr, $($variant:ident)*) => {
        match $activation {
            $($crate::Activation::$variant => {
                let $act = $crate::Activation::$variant;
                $body
            })*
        }
    };
}
pub(crate) use for_activation;

impl Activation {
    /// All activations.
    pub const ALL: [Self; 8] =
        [Self::None, Self::Relu, Self::Silu, Self::Gelu, Self::GeluTanh, Self::QuickGelu, Self::Tanh, Self::Sigmoid];

    /// The function at one point.
    pub fn at(self, x: f32) -> f32 {
        self.of(Plain, Plain.splat(x))[0]
    }

    /// Applies the function in place, on the calling thread.
    pub fn apply(self, xs: &mut [f32]) {
        if self != Self::None {
            Level::current().run(Map { activation: self, xs });
        }
    }

    /// `out = act(x)`, on all cores.
    pub fn apply_to(self, x: &[f32], out: &mut [f32]) {
        let level = Level::current();
        for_each_pair(x, out, |x, out| level.run(MapTo { activation: self, x, out }));
    }

    /// The function on a vector.
    #[inline(always)]
    pub(crate) fn of<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::None => x,
            Self::Relu => s.max(s.splat(0.0), x),
            Self::Silu => s.mul(x, sigmoid(s, x)),
            Self::Gelu => gelu(s, x),
            // 0.5 (1 + tanh(u)) is sigmoid(2 u).
            Self::GeluTanh => {
                let cube = s.mul(s.mul(x, x), x);
                let u = s.mul_add(cube, s.splat(0.044_715), x);
                s.mul(x, sigmoid(s, s.mul(u, s.splat(2.0 * 0.797_884_6))))
            }
            Self::QuickGelu => s.mul(x, sigmoid(s, s.mul(x, s.splat(1.702)))),
            Self::Tanh => tanh(s, x),
            Self::Sigmoid => sigmoid(s, x),
        }
    }

    /// Applies the function in place.
    #[inline(always)]
    pub(crate) fn map<S: Simd>(self, s: S, xs: &mut [f32]) {
        if self == Self::None {
            return;
        }
        for_activation!(self, |act| {
            let whole = xs.len() / S::LANES * S::LANES;
            for at in (0..whole).step_by(S::LANES) {
                // SAFETY: the slice holds a vector at `at`.
                unsafe { s.store(xs.as_mut_ptr().add(at), act.of(s, s.load(xs.as_ptr().add(at)))) };
            }
            if whole < xs.len() {
                let tail = &mut xs[whole..];
                store_some(s, act.of(s, load_some(s, tail)), tail);
            }
        });
    }
}

struct Map<'a> {
    activation: Activation,
    xs: &'a mut [f32],
}

impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.map(s, self.xs);
    }
}

struct MapTo<'a> {
    activation: Activation,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for MapTo<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { activation, x, out } = self;
        for_activation!(activation, |act| map!(s, x => out, |x| act.of(s, x)));
    }
}

/// GEGLU (<https://arxiv.org/abs/2002.05202>): `[rows, 2 * width]` to `[rows, width]`, `left * gelu(right)`.
pub fn geglu(x: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(x.len(), out.len() * 2);
    let level = Level::current();
    let rows = (CHUNK / width.max(1)).max(1);
    for_each_chunk(out, rows * width, |i, out| {
        let x = &x[i * rows * width * 2..][..out.len() * 2];
        level.run(Geglu { x, width, out });
    });
}

struct Geglu<'a> {
    x: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for Geglu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.width;
        for row in 0..self.out.len() / width {
            let left = &self.x[2 * row * width..][..width];
            let right = &self.x[(2 * row + 1) * width..][..width];
            let out = &mut self.out[row * width..][..width];
            map!(s, left, right => out, |left, right| s.mul(left, gelu(s, right)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_never_hidden() {
        for level in Level::available() {
            for activation in Activation::ALL {
                let mut xs = [f32::NAN; 19];
                level.with(|| activation.apply(&mut xs));
                assert!(xs.iter().all(|x| x.is_nan()), "{activation:?} {level:?}");
            }
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
