//! The basic layers of all networks: weights from a file, prepared for their device, and one op each.

use crate::tensor::{Activation, Conv2d as Geometry, Epilogue, Products};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};

/// A fully connected layer.
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let bias = Some(weights.prepared("bias", &[outputs])?);
        Ok(Self { weight: weights.prepared("weight", &[outputs, inputs])?, bias })
    }

    /// Only `weight` `[outputs, inputs]`.
    pub fn without_bias(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self { weight: weights.prepared("weight", &[outputs, inputs])?, bias: None })
    }

    /// A layer with a bias, whose weight may be stored as a 1x1 convolution `[outputs, inputs, 1, 1]`.
    pub fn pointwise(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = match weights.prepared("weight", &[outputs, inputs]) {
            Err(Error::TensorShape { got, .. }) if got.len() == 4 => {
                weights.prepared_conv("weight", [outputs, inputs, 1, 1])?.reshape(&[outputs, inputs])?
            }
            other => other?,
        };
        Ok(Self { weight, bias: Some(weights.prepared("bias", &[outputs])?) })
    }

    /// A layer of weights that were put together from those of a file: `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    pub(super) fn made_of(weight: &Tensor, bias: &Tensor) -> Result<Self> {
        Ok(Self { weight: weight.prepared(Products::F32)?, bias: Some(bias.prepared(Products::F32)?) })
    }

    /// Layers of `outputs` each that a file stores as one, one below the other.
    pub(super) fn stacked<const N: usize>(weights: &Weights, inputs: usize, outputs: usize) -> Result<[Self; N]> {
        let weight = weights.get("weight", &[N * outputs, inputs])?;
        let bias = weights.get("bias", &[N * outputs])?;
        let layer =
            |i: usize| Self::made_of(&weight.narrow(0, i * outputs, outputs)?, &bias.narrow(0, i * outputs, outputs)?);
        array((0..N).map(layer).collect::<Result<Vec<_>>>()?)
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Epilogue::default())
    }

    /// [`forward`](Self::forward), then the epilogue.
    pub fn forward_with(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        x.linear(&self.weight, self.bias.as_ref(), epilogue)
    }

    /// `[.., inputs]` to `[.., outputs / 2]`: [`forward`](Self::forward), then GEGLU.
    pub fn forward_geglu(&self, x: &Tensor) -> Result<Tensor> {
        x.linear_geglu(&self.weight, self.bias.as_ref())
    }
}

/// A channels-last convolution.
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    geometry: Geometry,
}

impl Conv2d {
    /// A square kernel of side `kernel` with a bias.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, kernel: usize, geometry: Geometry) -> Result<Self> {
        let bias = Some(weights.prepared("bias", &[outputs])?);
        Ok(Self { bias, ..Self::without_bias(weights, inputs, outputs, kernel, geometry)? })
    }

    /// A square kernel of side `kernel` without a bias.
    pub fn without_bias(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: Geometry,
    ) -> Result<Self> {
        Ok(Self { weight: weights.prepared_conv("weight", [outputs, inputs, kernel, kernel])?, bias: None, geometry })
    }

    /// A convolution of weights that were put together from those of a file: `weight` `[outputs, kh, kw, inputs]`, `bias`
    /// `[outputs]`.
    pub(super) fn made_of(weight: &Tensor, bias: &Tensor, geometry: Geometry) -> Result<Self> {
        Ok(Self { weight: weight.prepared(Products::F32)?, bias: Some(bias.prepared(Products::F32)?), geometry })
    }

    /// A 3x3 kernel that preserves the size.
    pub fn same(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        Self::new(weights, inputs, outputs, 3, Geometry::padded(1))
    }

    /// `[n, h, w, inputs]` to `[n, h', w', outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Epilogue::default())
    }

    /// [`forward`](Self::forward), then the epilogue.
    pub fn forward_with(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        x.conv2d(&self.weight, self.bias.as_ref(), self.geometry, epilogue)
    }

    /// Stretches the input to `size` (height, width; nearest neighbour), then convolves.
    pub fn forward_stretched(&self, x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
        let geometry = Geometry { stretch_to: Some(size), ..self.geometry };
        x.conv2d(&self.weight, self.bias.as_ref(), geometry, Epilogue::default())
    }
}

/// Group norm with a learned scale and shift per channel.
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// `weight` and `bias` `[channels]`.
    pub fn new(weights: &Weights, channels: usize, groups: usize, eps: f64) -> Result<Self> {
        let weight = weights.prepared("weight", &[channels])?;
        let bias = weights.prepared("bias", &[channels])?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// Norms `[n, .., channels]`, then applies `activation`.
    pub fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        x.group_norm(self.groups, self.eps, &self.weight, &self.bias, activation)
    }
}

/// Layer norm with a learned scale and shift.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// `weight` and `bias` `[width]`.
    pub fn new(weights: &Weights, width: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: weights.prepared("weight", &[width])?, bias: weights.prepared("bias", &[width])?, eps })
    }

    /// Norms `[.., width]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.layer_norm(self.eps, &self.weight, &self.bias)
    }
}

/// Root-mean-square norm with a learned scale.
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `weight` `[width]`.
    pub fn new(weights: &Weights, width: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: weights.prepared("weight", &[width])?, eps })
    }

    /// Norms `[.., width]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(self.eps, &self.weight)
    }

    /// Norms each head of `[n, t, heads * width]` by itself.
    pub fn forward_heads(&self, x: &Tensor) -> Result<Tensor> {
        let [n, t, hidden] = x.dims("rms_norm")?;
        let [width] = self.weight.dims("rms_norm")?;
        if hidden % width != 0 {
            let expected = format!("heads of {width}");
            return Err(Error::Shape { op: "rms_norm", expected, got: x.shape().to_vec() });
        }
        self.forward(&x.reshape(&[n, t, hidden / width, width])?)?.reshape(&[n, t, hidden])
    }
}

/// The adaptive norm of diffusion transformers (<https://arxiv.org/abs/2212.09748>): a linear layer that computes
/// scales, shifts and gates of a stream from the time embedding.
pub struct Modulation {
    linear: Linear,
    width: usize,
}

/// Epsilon of the norms that are modulated.
const MODULATED_EPS: f64 = 1e-6;

impl Modulation {
    /// A layer for `parts` vectors of `width`.
    pub fn new(weights: &Weights, width: usize, parts: usize) -> Result<Self> {
        Ok(Self { linear: Linear::new(weights, width, parts * width)?, width })
    }

    /// `N` vectors `[n, width]` from the time embedding `[n, width]` after its activation.
    pub fn forward<const N: usize>(&self, time: &Tensor) -> Result<[Tensor; N]> {
        let all = self.linear.forward(time)?;
        let parts = (0..N).map(|i| all.narrow(1, i * self.width, self.width)).collect::<Result<Vec<_>>>()?;
        array(parts)
    }
}

/// The `N` parts of something that was made with as many.
fn array<T, const N: usize>(parts: Vec<T>) -> Result<[T; N]> {
    let wrong = |parts: Vec<T>| Error::Shape { op: "parts", expected: format!("{N}"), got: vec![parts.len()] };
    parts.try_into().map_err(wrong)
}

/// `norm(x) * (1 + scale) + shift` for a stream `[n, t, width]`; scale and shift are `[n, width]`.
pub fn modulate(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.modulated_norm(MODULATED_EPS, scale, shift)
}

/// The feed-forward layers of a diffusion transformer: two linear layers with GELU between, after a modulated norm and
/// around a gated residual connection.
pub struct ModulatedFeedForward {
    layer1: Linear,
    layer2: Linear,
}

impl ModulatedFeedForward {
    /// From `width` to four times that and back.
    pub fn new(weights: &Weights, width: usize) -> Result<Self> {
        Ok(Self {
            layer1: Linear::new(&weights.pp("net.0.proj"), width, 4 * width)?,
            layer2: Linear::new(&weights.pp("net.2"), 4 * width, width)?,
        })
    }

    /// The stream `x` `[n, t, width]` after the layers; scale, shift and gate are `[n, width]`.
    pub fn forward(&self, x: Tensor, [scale, shift, gate]: &[Tensor; 3]) -> Result<Tensor> {
        let normed = modulate(&x, scale, shift)?;
        let inner = self.layer1.forward_with(&normed, Epilogue::activation(Activation::GeluTanh))?;
        drop(normed);
        x.add_gated(gate, &self.layer2.forward(&inner)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use std::collections::BTreeMap;

    #[test]
    fn a_pointwise_layer_may_be_stored_as_a_convolution() {
        let build = |shape: &[usize]| {
            let weight = Tensor::from_vec((0..6).map(|i| i as f32).collect(), shape, &Device::Cpu).unwrap();
            let bias = Tensor::zeros(&[2], &Device::Cpu).unwrap();
            let tensors = BTreeMap::from([("weight".to_owned(), weight), ("bias".to_owned(), bias)]);
            Linear::pointwise(&Weights::new("file", tensors), 3, 2)
        };
        let x = Tensor::from_vec(vec![1.0, 2.0, 3.0], &[1, 3], &Device::Cpu).unwrap();
        for shape in [[2, 3].as_slice(), &[2, 1, 1, 3]] {
            let y = build(shape).unwrap().forward(&x).unwrap();
            assert_eq!(pollster::block_on(y.to_vec()).unwrap(), [8.0, 26.0]);
        }
        assert!(matches!(build(&[3, 2]), Err(Error::TensorShape { .. })));
        assert!(matches!(build(&[3, 1, 1, 2]), Err(Error::TensorShape { .. })));
    }
}
