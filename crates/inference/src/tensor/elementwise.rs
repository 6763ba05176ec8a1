//! Elementwise arithmetic: with a scalar, between tensors, and linear combinations.

use super::{Storage, Tensor};
use crate::Result;
use easel_cpu::Floats;
use easel_cpu::elementwise::{self, Binary};

impl Tensor {
    /// `self + other`, broadcasting axes of size 1 in `other`.
    pub fn add(&self, other: &Self) -> Result<Self> {
        self.binary("add", Binary::Add, other)
    }

    /// `self - other`, broadcasting axes of size 1 in `other`.
    pub fn sub(&self, other: &Self) -> Result<Self> {
        self.binary("sub", Binary::Sub, other)
    }

    /// `self * other`, broadcasting axes of size 1 in `other`.
    pub fn mul(&self, other: &Self) -> Result<Self> {
        self.binary("mul", Binary::Mul, other)
    }

    /// `self / other`, broadcasting axes of size 1 in `other`.
    pub fn div(&self, other: &Self) -> Result<Self> {
        self.binary("div", Binary::Div, other)
    }

    /// `self + gate * x`, with `x` `[n, t, width]` and `gate` `[n, width]`.
    pub fn add_gated(&self, gate: &Self, x: &Self) -> Result<Self> {
        let [batch, width] = gate.dims("add_gated")?;
        self.add(&x.mul(&gate.reshape(&[batch, 1, width])?)?)
    }

    /// `self * scale + offset`.
    pub fn affine(&self, scale: f64, offset: f64) -> Result<Self> {
        const OP: &str = "affine";
        match &self.storage {
            Storage::Cpu(_) => self.each(OP, |x, out| elementwise::affine(x, scale as f32, offset as f32, out)),
            Storage::Gpu(x) => x.affine(scale, offset),
            Storage::Candle(x) => x.affine(scale, offset),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }

    /// `self * scale`.
    pub fn scale(&self, scale: f64) -> Result<Self> {
        self.affine(scale, 0.0)
    }

    /// Clamps every element to `low..=high`.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Self> {
        const OP: &str = "clamp";
        let low = low as f32;
        let high = high as f32;
        match &self.storage {
            Storage::Cpu(_) => self.each(OP, |x, out| elementwise::clamp(x, low, high, out)),
            Storage::Gpu(x) => x.clamp(low, high),
            Storage::Candle(x) => x.clamp(low, high),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }

    /// `e^x` of every element.
    pub fn exp(&self) -> Result<Self> {
        const OP: &str = "exp";
        match &self.storage {
            Storage::Cpu(_) => self.each(OP, elementwise::exp),
            Storage::Gpu(x) => x.exp(),
            Storage::Candle(x) => x.exp(),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }

    /// `self * scale + sum(factor * tensor)`, the arithmetic of sampler steps. All shapes are equal.
    pub fn combine(&self, scale: f64, terms: &[(f64, &Self)]) -> Result<Self> {
        const OP: &str = "combine";
        if let Some((_, other)) = terms.iter().find(|(_, other)| other.shape() != self.shape()) {
            return Err(other.shape_error(OP, format!("shape {:?}", self.shape())));
        }
        if let Storage::Cpu(x) = &self.storage {
            let mut sum = Floats::take(self.elements());
            elementwise::affine(x.f32(OP)?, scale as f32, 0.0, &mut sum);
            for (factor, other) in terms {
                elementwise::add_scaled(&mut sum, *factor as f32, other.host(OP)?.f32(OP)?);
            }
            return Ok(Self::made(sum, self.shape()));
        }
        if let Storage::Gpu(x) = &self.storage {
            return x.combine(scale, terms);
        }
        if let Storage::Outline(x) = &self.storage {
            return Ok(x.made(self.shape()));
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
        match &self.storage {
            Storage::Cpu(x) => {
                let mut means = Floats::take(batch);
                let mut stds = Floats::take(batch);
                for (i, x) in x.f32(OP)?.chunks_exact(rest / batch).enumerate() {
                    let count = x.len() as f64;
                    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
                    let squares: f64 = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
                    (means[i], stds[i]) = (mean as f32, (squares / (count - 1.0)).sqrt() as f32);
                }
                Ok((Self::made(means, &keep), Self::made(stds, &keep)))
            }
            Storage::Gpu(x) => x.mean_and_std(),
            Storage::Candle(x) => x.mean_and_std(&keep),
            Storage::Outline(x) => Ok((x.made(&keep), x.made(&keep))),
        }
    }

    /// A function of every element on the CPU: `f(x, out)`.
    fn each(&self, op: &'static str, f: impl FnOnce(&[f32], &mut [f32])) -> Result<Self> {
        let mut out = Floats::take(self.elements());
        f(self.host(op)?.f32(op)?, &mut out);
        Ok(Self::made(out, self.shape()))
    }

    fn binary(&self, op: &'static str, operation: Binary, other: &Self) -> Result<Self> {
        if !elementwise::fits(self.shape(), other.shape()) {
            return Err(other.shape_error(op, format!("axes of {:?} or of size 1", self.shape())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let y = other.host(op)?.widened(op)?;
                let mut out = Floats::take(self.elements());
                elementwise::binary(operation, x.f32(op)?, self.shape(), &y, other.shape(), &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.binary(op, operation, other),
            Storage::Candle(x) => x.binary(op, operation, other),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }
}
