//! Records the memory of every op without computing it. Shapes were checked before.

use super::{Outline, bytes_of};
use crate::Result;
use crate::tensor::{DType, Storage, Tensor};
use easel_cpu::attention::AttentionShape;
use easel_cpu::conv2d::Conv2dShape;
use easel_cpu::needs::{self, Kept};

impl Outline {
    /// The result of an op that computes in the type of `self`.
    pub(in crate::tensor) fn made(&self, shape: &[usize]) -> Tensor {
        Self::pooled(&self.device, self.float(), shape)
    }

    /// The type that an op of this tensor computes in.
    fn float(&self) -> DType {
        match self.dtype {
            DType::F16 if !self.device.is_cpu() => DType::F16,
            _ => DType::F32,
        }
    }

    /// The result, and the kernel's scratch memory during the computation.
    fn made_with(&self, shape: &[usize], scratch: impl FnOnce() -> Vec<usize>) -> Tensor {
        let result = self.made(shape);
        if self.device.is_cpu() {
            let take = |floats: usize| self.device.ledger.pooled(bytes_of(DType::F32, floats));
            drop(scratch().into_iter().map(take).collect::<Vec<_>>());
        }
        result
    }

    fn kept(&self) -> Kept {
        self.kept.unwrap_or(Kept::Floats(self.dtype.size()))
    }

    pub(in crate::tensor) fn linear(&self, weight: &Tensor, size: [usize; 3], shape: &[usize]) -> Result<Tensor> {
        let kept = weight.outline("linear")?.kept();
        Ok(self.made_with(shape, || needs::linear(size, kept)))
    }

    pub(in crate::tensor) fn linear_geglu(&self, weight: &Tensor, size: [usize; 3], shape: &[usize]) -> Result<Tensor> {
        let kept = weight.outline("linear_geglu")?.kept();
        if !self.device.is_cpu() {
            let [m, n, _] = size;
            drop(self.made(&[m, n]));
        }
        Ok(self.made_with(shape, || needs::linear_geglu(size, kept)))
    }

    pub(in crate::tensor) fn conv2d(&self, weight: &Tensor, conv: &Conv2dShape, shape: &[usize]) -> Result<Tensor> {
        let kept = weight.outline("conv2d")?.kept();
        Ok(self.made_with(shape, || needs::conv2d(conv, kept)))
    }

    pub(in crate::tensor) fn attention(&self, attention: &AttentionShape) -> Tensor {
        self.made_with(&self.shape, || needs::attention(attention))
    }

    pub(in crate::tensor) fn embedding(&self, shape: &[usize]) -> Tensor {
        Self::pooled(&self.device, DType::F32, shape)
    }

    pub(in crate::tensor) fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype {
            return Tensor { storage: Storage::Outline(self.clone()) };
        }
        Self::pooled(&self.device, dtype, &self.shape)
    }

    /// A view of the same elements.
    pub(in crate::tensor) fn view(&self, shape: &[usize]) -> Tensor {
        Tensor { storage: Storage::Outline(Self { shape: shape.to_vec(), ..self.clone() }) }
    }

    /// A copy of some of the elements, in the same type.
    pub(in crate::tensor) fn rearranged(&self, shape: &[usize]) -> Tensor {
        Self::pooled(&self.device, self.dtype, shape)
    }

    pub(in crate::tensor) fn narrow(&self, axis: usize, length: usize) -> Tensor {
        let mut shape = self.shape.clone();
        shape[axis] = length;
        let is_view = self.device.is_cpu() && self.shape[..axis].iter().product::<usize>() == 1;
        if is_view { self.view(&shape) } else { self.rearranged(&shape) }
    }
}
