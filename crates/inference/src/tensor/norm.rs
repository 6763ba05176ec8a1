//! `group_norm` and `layer_norm`, with the activation that follows them.

use super::{Activation, Storage, Tensor};
use crate::Result;
use easel_cpu::{Floats, norm};

impl Tensor {
    /// Group norm over the last axis of `[n, .., c]` in `groups`, then the activation.
    pub fn group_norm(
        &self,
        groups: usize,
        eps: f64,
        weight: &Self,
        bias: &Self,
        activation: Activation,
    ) -> Result<Self> {
        const OP: &str = "group_norm";
        let channels = *self.shape().last().unwrap_or(&0);
        let batch = *self.shape().first().unwrap_or(&0);
        let fits = groups > 0 && channels.is_multiple_of(groups) && self.elements() > 0;
        if !fits || weight.shape() != [channels] || bias.shape() != [channels] {
            let expected = format!("channels divisible by {groups} and weights of shape {:?}", weight.shape());
            return Err(self.shape_error(OP, expected));
        }
        let pixels = self.elements() / batch / channels;
        match &self.storage {
            Storage::Cpu(x) => {
                let w = weight.host(OP)?.widened(OP)?;
                let b = bias.host(OP)?.widened(OP)?;
                let mut out = Floats::take(self.elements());
                let shape = [batch, pixels, channels];
                norm::group_norm(x.f32(OP)?, shape, groups, eps as f32, &w, &b, activation, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.group_norm(groups, eps, [weight, bias], activation),
            Storage::Candle(x) => x.group_norm(groups, eps, [weight, bias], activation),
        }
    }

    /// Layer norm over the last axis, with weight and bias of that axis' size.
    pub fn layer_norm(&self, eps: f64, weight: &Self, bias: &Self) -> Result<Self> {
        const OP: &str = "layer_norm";
        let width = *self.shape().last().unwrap_or(&0);
        if width == 0 || weight.shape() != [width] || bias.shape() != [width] {
            return Err(self.shape_error(OP, format!("a last axis of {:?}", weight.shape())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let w = weight.host(OP)?.widened(OP)?;
                let b = bias.host(OP)?.widened(OP)?;
                let mut out = Floats::take(self.elements());
                norm::layer_norm(x.f32(OP)?, width, eps as f32, Some(&w), Some(&b), &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.layer_norm(eps, [weight, bias]),
            Storage::Candle(x) => x.layer_norm(eps, [weight, bias]),
        }
    }
}
