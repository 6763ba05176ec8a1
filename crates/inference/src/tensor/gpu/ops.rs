//! The ops on the GPU: each unwraps its arguments, calls the kernel's op, and wraps the result. Shapes were checked
//! before.

use super::Gpu;
use crate::Result;
use crate::tensor::{Activation, Conv2d, DType, Epilogue, Relative, Scores, Storage, Tensor};
use easel_cpu::elementwise::Binary;
use easel_webgpu::{Array, Context, ops};

impl Gpu {
    fn context(&self) -> &Context {
        &self.context
    }

    /// Wraps an array of the same device.
    fn wrap(&self, array: Array) -> Tensor {
        Tensor { storage: Storage::Gpu(Self::new(&self.device, &self.context, array)) }
    }

    fn made(&self, array: easel_webgpu::Result<Array>) -> Result<Tensor> {
        Ok(self.wrap(array?))
    }

    pub(in crate::tensor) fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "linear";
        let weight = &weight.gpu(OP)?.parts;
        let bias = optional(OP, bias)?;
        let residual = optional(OP, epilogue.residual)?;
        let epilogue = ops::Epilogue { residual, activation: epilogue.activation };
        self.made(ops::linear(self.context(), self.array(OP)?, weight, bias, epilogue))
    }

    pub(in crate::tensor) fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        conv: Conv2d,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "conv2d";
        let weight = &weight.gpu(OP)?.parts;
        let bias = optional(OP, bias)?;
        let residual = optional(OP, epilogue.residual)?;
        let epilogue = ops::Epilogue { residual, activation: epilogue.activation };
        self.made(ops::conv2d(self.context(), self.array(OP)?, weight, bias, conv, epilogue))
    }

    pub(in crate::tensor) fn depthwise(
        &self,
        weight: &Tensor,
        bias: &Tensor,
        conv: Conv2d,
        after: Activation,
    ) -> Result<Tensor> {
        const OP: &str = "depthwise";
        let weight = weight.gpu(OP)?.array(OP)?;
        let bias = bias.gpu(OP)?.array(OP)?;
        self.made(ops::depthwise(self.context(), self.array(OP)?, weight, bias, conv, after))
    }

    pub(in crate::tensor) fn attention<'a>(
        &self,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        scores: Scores<'a>,
    ) -> Result<Tensor> {
        const OP: &str = "attention";
        let k = k.gpu(OP)?.array(OP)?;
        let v = v.gpu(OP)?.array(OP)?;
        let bias = optional(OP, scores.bias)?;
        let scale = scores.scale.map(|scale| scale as f32);
        let relative = |Relative { grid, rows, columns }: Relative<'a>| -> Result<ops::Relative<'a>> {
            Ok(ops::Relative { grid, rows: rows.gpu(OP)?.array(OP)?, columns: columns.gpu(OP)?.array(OP)? })
        };
        let relative = scores.relative.map(relative).transpose()?;
        let scores = ops::Scores { causal: scores.causal, scale, bias, relative };
        self.made(ops::attention_scored(self.context(), [self.array(OP)?, k, v], heads, scores))
    }

    pub(in crate::tensor) fn rope(&self, angles: &Tensor) -> Result<Tensor> {
        const OP: &str = "rope";
        let angles = angles.gpu(OP)?.array(OP)?;
        self.made(ops::rope(self.context(), self.array(OP)?, angles))
    }

    pub(in crate::tensor) fn group_norm(
        &self,
        groups: usize,
        eps: f64,
        [weight, bias]: [&Tensor; 2],
        after: Activation,
    ) -> Result<Tensor> {
        const OP: &str = "group_norm";
        let weight = weight.gpu(OP)?.array(OP)?;
        let bias = bias.gpu(OP)?.array(OP)?;
        let x = self.array(OP)?;
        self.made(ops::group_norm(self.context(), x, groups, eps as f32, weight, bias, after))
    }

    pub(in crate::tensor) fn layer_norm(&self, eps: f64, [weight, bias]: [&Tensor; 2]) -> Result<Tensor> {
        const OP: &str = "layer_norm";
        let weight = Some(weight.gpu(OP)?.array(OP)?);
        let bias = Some(bias.gpu(OP)?.array(OP)?);
        let norm = ops::LayerNorm { weight, bias, ..ops::LayerNorm::default() };
        self.made(ops::layer_norm(self.context(), self.array(OP)?, eps as f32, norm))
    }

    pub(in crate::tensor) fn modulated_norm(&self, eps: f64, [scale, shift]: [&Tensor; 2]) -> Result<Tensor> {
        const OP: &str = "modulated_norm";
        let modulation = Some((scale.gpu(OP)?.array(OP)?, shift.gpu(OP)?.array(OP)?));
        let norm = ops::LayerNorm { modulation, ..ops::LayerNorm::default() };
        self.made(ops::layer_norm(self.context(), self.array(OP)?, eps as f32, norm))
    }

    pub(in crate::tensor) fn rms_norm(&self, eps: f64, weight: &Tensor) -> Result<Tensor> {
        const OP: &str = "rms_norm";
        let weight = weight.gpu(OP)?.array(OP)?;
        self.made(ops::rms_norm(self.context(), self.array(OP)?, eps as f32, Some(weight)))
    }

    pub(in crate::tensor) fn activation(&self, after: Activation) -> Result<Tensor> {
        self.made(ops::activation(self.context(), self.array("activation")?, after))
    }

    pub(in crate::tensor) fn geglu(&self) -> Result<Tensor> {
        self.made(ops::geglu(self.context(), self.array("geglu")?))
    }

    pub(in crate::tensor) fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        const OP: &str = "embedding";
        let ids = ids.gpu(OP)?.array(OP)?;
        self.made(ops::embedding(self.context(), &self.parts, ids, super::format(DType::F32)))
    }

    pub(in crate::tensor) fn binary(&self, op: &'static str, operation: Binary, other: &Tensor) -> Result<Tensor> {
        self.made(ops::binary(self.context(), operation, self.array(op)?, other.gpu(op)?.array(op)?))
    }

    pub(in crate::tensor) fn affine(&self, scale: f64, offset: f64) -> Result<Tensor> {
        self.made(ops::affine(self.context(), self.array("affine")?, scale as f32, offset as f32))
    }

    pub(in crate::tensor) fn clamp(&self, low: f32, high: f32) -> Result<Tensor> {
        self.made(ops::clamp(self.context(), self.array("clamp")?, low, high))
    }

    pub(in crate::tensor) fn exp(&self) -> Result<Tensor> {
        self.made(ops::exp(self.context(), self.array("exp")?))
    }

    pub(in crate::tensor) fn combine(&self, scale: f64, terms: &[(f64, &Tensor)]) -> Result<Tensor> {
        const OP: &str = "combine";
        let array = |(factor, tensor): &(f64, &Tensor)| Ok((*factor as f32, tensor.gpu(OP)?.array(OP)?.clone()));
        let terms = terms.iter().map(array).collect::<Result<Vec<_>>>()?;
        let terms: Vec<_> = terms.iter().map(|(factor, array)| (*factor, array)).collect();
        self.made(ops::combine(self.context(), self.array(OP)?, scale as f32, &terms))
    }

    pub(in crate::tensor) fn mean_and_std(&self) -> Result<(Tensor, Tensor)> {
        let (mean, std) = ops::mean_and_std(self.context(), self.array("mean_and_std")?)?;
        Ok((self.wrap(mean), self.wrap(std)))
    }

    pub(in crate::tensor) fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        match self.parts.as_slice() {
            // Splitting is along rows, so it is not affected: only a 1x1 kernel becomes a matrix.
            parts if parts.len() > 1 && shape.first() == self.shape.first() => {
                let part = |part: &Array| part.reshape(&[&part.shape()[..1], &shape[1..]].concat());
                let parts = parts.iter().map(part).collect::<Result<_, _>>()?;
                let gpu = Self { parts, shape: shape.to_vec(), ..self.clone() };
                Ok(Tensor { storage: Storage::Gpu(gpu) })
            }
            _ => self.made(self.array("reshape")?.reshape(shape)),
        }
    }

    pub(in crate::tensor) fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        self.made(ops::permute(self.context(), self.array("permute")?, axes))
    }

    pub(in crate::tensor) fn narrow(&self, axis: usize, start: usize, length: usize) -> Result<Tensor> {
        self.made(ops::narrow(self.context(), self.array("narrow")?, axis, start, length))
    }

    pub(in crate::tensor) fn concat(&self, tensors: &[&Tensor], axis: usize) -> Result<Tensor> {
        const OP: &str = "concat";
        let arrays = tensors.iter().map(|tensor| tensor.gpu(OP)?.array(OP)).collect::<Result<Vec<_>>>()?;
        self.made(ops::concat(self.context(), &arrays, axis))
    }

    pub(in crate::tensor) fn repeat(&self, count: usize) -> Result<Tensor> {
        self.made(ops::repeat(self.context(), self.array("repeat")?, count))
    }

    pub(in crate::tensor) fn cast(&self, dtype: DType) -> Result<Tensor> {
        self.made(ops::cast(self.context(), self.array("cast")?, super::format(dtype)))
    }
}

fn optional<'a>(op: &'static str, tensor: Option<&'a Tensor>) -> Result<Option<&'a Array>> {
    tensor.map(|tensor| tensor.gpu(op)?.array(op)).transpose()
}
