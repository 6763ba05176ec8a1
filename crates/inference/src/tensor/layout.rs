//! Shape ops: views where they can be, copies where they must.

use super::Tensor;
use crate::Result;

impl Tensor {
    /// The same numbers in another shape.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if super::count(shape) != Some(self.elements()) {
            return Err(self.shape_error("reshape", format!("as many elements as {shape:?} has")));
        }
        self.map("reshape", |x| x.reshape(shape))
    }

    /// The axes in another order; the result is contiguous.
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape().len()) {
            return Err(self.shape_error("permute", format!("an order of {} axes, not {axes:?}", self.shape().len())));
        }
        self.map("permute", |x| x.permute(axes)?.contiguous())
    }

    /// `length` entries of `axis` from `start` on.
    pub fn narrow(&self, axis: usize, start: usize, length: usize) -> Result<Self> {
        let end = start.saturating_add(length);
        if self.shape().get(axis).is_none_or(|size| end > *size) {
            return Err(self.shape_error("narrow", format!("at least {end} entries on axis {axis}")));
        }
        self.map("narrow", |x| x.narrow(axis, start, length)?.contiguous())
    }

    /// Tensors one after the other along `axis`.
    pub fn concat(tensors: &[&Self], axis: usize) -> Result<Self> {
        const OP: &str = "concat";
        let Some(first) = tensors.first() else {
            return Err(crate::Error::Shape { op: OP, expected: "at least one tensor".into(), got: Vec::new() });
        };
        let parts: Vec<_> = tensors.iter().map(|tensor| tensor.candle()).collect();
        first.map(OP, |_| candle_core::Tensor::cat(&parts, axis)?.contiguous()).map_err(|_| {
            let shapes: Vec<_> = tensors.iter().map(|tensor| tensor.shape()).collect();
            first.shape_error(OP, format!("shapes that differ on axis {axis} only, not {shapes:?}"))
        })
    }

    /// `count` copies of the first axis, one after the other.
    pub fn repeat(&self, count: usize) -> Result<Self> {
        Self::concat(&vec![self; count], 0)
    }

    /// `[n, c, h, w]` as PyTorch keeps pictures and latents, to channels-last `[n, h, w, c]`.
    pub fn to_channels_last(&self) -> Result<Self> {
        self.dims::<4>("to_channels_last")?;
        self.permute(&[0, 2, 3, 1])
    }

    /// Channels-last `[n, h, w, c]` to `[n, c, h, w]`.
    pub fn to_channels_first(&self) -> Result<Self> {
        self.dims::<4>("to_channels_first")?;
        self.permute(&[0, 3, 1, 2])
    }
}
