//! `activation` and `geglu`: elementwise functions outside of an epilogue.

use super::{Activation, Storage, Tensor};
use crate::Result;
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
            Storage::Candle(x) => x.activation(activation),
            Storage::Outline(x) => Ok(x.made(self.shape())),
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
            Storage::Candle(x) => x.geglu(),
            Storage::Outline(x) => Ok(x.made(&shape)),
        }
    }
}
