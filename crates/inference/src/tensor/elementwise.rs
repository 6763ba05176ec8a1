//! Elementwise arithmetic: with a scalar, between tensors, and sums of many.

use super::{DType, Storage, Tensor, backend, cpu};
use crate::Result;
use easel_cpu::elementwise::{self, Binary};

impl Tensor {
    /// `self + other`, where `other` may have axes of size 1 that repeat.
    pub fn add(&self, other: &Self) -> Result<Self> {
        self.binary("add", Binary::Add, other)
    }

    /// `self - other`, where `other` may have axes of size 1 that repeat.
    pub fn sub(&self, other: &Self) -> Result<Self> {
        self.binary("sub", Binary::Sub, other)
    }

    /// `self * other`, where `other` may have axes of size 1 that repeat.
    pub fn mul(&self, other: &Self) -> Result<Self> {
        self.binary("mul", Binary::Mul, other)
    }

    /// `self / other`, where `other` may have axes of size 1 that repeat.
    pub fn div(&self, other: &Self) -> Result<Self> {
        self.binary("div", Binary::Div, other)
    }

    /// `self * scale + offset`.
    pub fn affine(&self, scale: f64, offset: f64) -> Result<Self> {
        self.map("affine", |x| x.affine(scale, offset))
    }

    /// `self * scale`.
    pub fn scale(&self, scale: f64) -> Result<Self> {
        self.affine(scale, 0.0)
    }

    /// Every element limited to `low..=high`.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Self> {
        self.map("clamp", |x| x.clamp(low as f32, high as f32))
    }

    /// `e^x` of every element.
    pub fn exp(&self) -> Result<Self> {
        self.map("exp", candle_core::Tensor::exp)
    }

    /// `self * scale + sum(factor * tensor)`: what a sampler's step comes down to. All shapes are equal.
    pub fn combine(&self, scale: f64, terms: &[(f64, &Self)]) -> Result<Self> {
        const OP: &str = "combine";
        if let Some((_, other)) = terms.iter().find(|(_, other)| other.shape() != self.shape()) {
            return Err(other.shape_error(OP, format!("shape {:?}", self.shape())));
        }
        let mut sum = self.scale(scale)?;
        for (factor, other) in terms {
            sum = sum.add(&other.scale(*factor)?)?;
        }
        Ok(sum)
    }

    /// Mean and standard deviation (with `n - 1`) of every picture `[n, ..]`, each shaped `[n, 1, ..]`.
    pub fn mean_and_std(&self) -> Result<(Self, Self)> {
        const OP: &str = "mean_and_std";
        let [batch, rest] = [self.shape().first().copied().unwrap_or(0), self.elements()];
        if batch == 0 || rest / batch < 2 {
            return Err(self.shape_error(OP, "at least two elements per picture"));
        }
        let mut keep = vec![1; self.shape().len()];
        keep[0] = batch;
        let mean = self.map(OP, |x| x.reshape((batch, ()))?.mean_keepdim(1)?.reshape(keep.as_slice()))?;
        let std = self.map(OP, |x| x.reshape((batch, ()))?.var_keepdim(1)?.sqrt()?.reshape(keep.as_slice()))?;
        Ok((mean, std))
    }

    fn binary(&self, op: &'static str, operation: Binary, other: &Self) -> Result<Self> {
        self.same_device(op, other)?;
        if !elementwise::fits(self.shape(), other.shape()) {
            return Err(other.shape_error(op, format!("axes of {:?} or of size 1", self.shape())));
        }
        if let (Storage::Cpu(x), DType::F32) = (&self.storage, self.dtype()) {
            let (x, y) = (cpu::Host::open(op, x)?, cpu::widened(op, other)?);
            let mut out = vec![0.0; self.elements()];
            x.with_f32(op, |x| {
                y.with_f32(op, |y| elementwise::binary(operation, x, self.shape(), y, other.shape(), &mut out))
            })??;
            return cpu::finish(op, out, self.shape());
        }
        self.map(op, |x| {
            let y = other.candle().to_dtype(x.dtype())?;
            match operation {
                Binary::Add => x.broadcast_add(&y),
                Binary::Sub => x.broadcast_sub(&y),
                Binary::Mul => x.broadcast_mul(&y),
                Binary::Div => x.broadcast_div(&y),
            }
        })
    }

    fn same_device(&self, op: &'static str, other: &Self) -> Result<()> {
        let (left, right) = (self.candle().device(), other.candle().device());
        if left.same_device(right) {
            return Ok(());
        }
        let reason = format!("one tensor is on {}, the other on {}", self.device(), other.device());
        Err(backend(op)(candle_core::Error::Msg(reason)))
    }
}
