//! `group_norm`, `layer_norm`, `modulated_norm` and `rms_norm`.

use super::{Activation, Storage, Tensor};
use crate::Result;
use easel_cpu::{Floats, elementwise, norm};

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
            Storage::Outline(x) => Ok(x.made(self.shape())),
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
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }

    /// Layer norm over the last axis of `[n, t, width]` without weights, then `* (1 + scale) + shift`, each `[n,
    /// width]`: the adaptive norm of diffusion transformers (<https://arxiv.org/abs/2212.09748>).
    pub fn modulated_norm(&self, eps: f64, scale: &Self, shift: &Self) -> Result<Self> {
        const OP: &str = "modulated_norm";
        let [batch, tokens, width] = self.dims(OP)?;
        let fits = scale.shape() == [batch, width] && shift.shape() == scale.shape() && self.elements() > 0;
        if !fits {
            return Err(self.shape_error(OP, format!("[n, t, width] with scale and shift of {:?}", scale.shape())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let mut factor = Floats::take(scale.elements());
                elementwise::affine(scale.host(OP)?.f32(OP)?, 1.0, 1.0, &mut factor);
                let shift = shift.host(OP)?.f32(OP)?;
                let mut out = Floats::take(self.elements());
                let entries = x.f32(OP)?.chunks_exact(tokens * width).zip(out.chunks_exact_mut(tokens * width));
                for ((x, out), (factor, shift)) in
                    entries.zip(factor.chunks_exact(width).zip(shift.chunks_exact(width)))
                {
                    norm::layer_norm(x, width, eps as f32, Some(factor), Some(shift), out);
                }
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.modulated_norm(eps, [scale, shift]),
            Storage::Candle(x) => x.modulated_norm(eps, [scale, shift]),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }

    /// Root-mean-square norm (<https://arxiv.org/abs/1910.07467>) over the last axis, with a weight of that axis' size.
    pub fn rms_norm(&self, eps: f64, weight: &Self) -> Result<Self> {
        const OP: &str = "rms_norm";
        let width = *self.shape().last().unwrap_or(&0);
        if width == 0 || weight.shape() != [width] {
            return Err(self.shape_error(OP, format!("a last axis of {:?}", weight.shape())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let w = weight.host(OP)?.widened(OP)?;
                let mut out = Floats::take(self.elements());
                norm::rms_norm(x.f32(OP)?, width, eps as f32, Some(&w), &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.rms_norm(eps, weight),
            Storage::Candle(x) => x.rms_norm(eps, weight),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }
}
