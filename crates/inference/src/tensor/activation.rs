//! `activation` and `geglu`: elementwise functions on their own.

use super::{Activation, Storage, Tensor};
use crate::Result;
use candle_core::D;
use easel_cpu::Floats;

impl Tensor {
    /// Applies an activation function to every element.
    pub fn activation(&self, activation: Activation) -> Result<Self> {
        const OP: &str = "activation";
        if activation == Activation::None {
            return Ok(self.clone());
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let mut out = Floats::take(self.elements());
                activation.apply_to(x.f32(OP)?, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.activation(activation),
            Storage::Candle(x) => {
                let y = match activation {
                    Activation::None => Ok(x.clone()),
                    Activation::Relu => x.relu(),
                    Activation::Silu => x.silu(),
                    Activation::Gelu => x.gelu_erf(),
                    Activation::GeluTanh => x.gelu(),
                    Activation::QuickGelu => (x * 1.702).and_then(|y| sigmoid(&y)).and_then(|gate| x * gate),
                    Activation::Tanh => x.tanh(),
                    Activation::Sigmoid => sigmoid(x),
                };
                Self::by_candle(OP, y)
            }
        }
    }

    /// GEGLU (<https://arxiv.org/abs/2002.05202>): `[.., 2 * width]` to `[.., width]`, `left * gelu(right)`.
    pub fn geglu(&self) -> Result<Self> {
        const OP: &str = "geglu";
        let mut shape = self.shape().to_vec();
        let width = match shape.last_mut() {
            Some(last) if *last % 2 == 0 && *last > 0 => {
                *last /= 2;
                *last
            }
            _ => return Err(self.shape_error(OP, "an even last axis")),
        };
        match &self.storage {
            Storage::Cpu(x) => {
                let mut out = Floats::take(self.elements() / 2);
                easel_cpu::activation::geglu(x.f32(OP)?, width, &mut out);
                Ok(Self::made(out, &shape))
            }
            Storage::Gpu(x) => x.geglu(),
            Storage::Candle(x) => {
                let product = || {
                    let gate = x.narrow(D::Minus1, width, width)?.contiguous()?.gelu_erf()?;
                    x.narrow(D::Minus1, 0, width)? * gate
                };
                Self::by_candle(OP, product())
            }
        }
    }
}

fn sigmoid(x: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
