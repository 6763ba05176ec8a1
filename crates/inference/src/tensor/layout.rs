//! Shape ops: views if possible, otherwise copies.

use super::host::rearrange;
use super::{Storage, Tensor};
use crate::Result;
use easel_cpu::{Floats, layout};

impl Tensor {
    /// The same elements in another shape.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if super::count(shape) != Some(self.elements()) {
            return Err(self.shape_error("reshape", format!("the number of elements of {shape:?}")));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let view =
                    x.reshaped(shape).ok_or_else(|| self.shape_error("reshape", "the rows of a prepared weight"))?;
                Ok(Self { storage: Storage::Cpu(view) })
            }
            Storage::Gpu(x) => x.reshape(shape),
            Storage::Candle(x) => x.reshape(shape),
            Storage::Outline(x) => Ok(x.view(shape)),
        }
    }

    /// The axes in another order; the result is contiguous.
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape().len()) {
            return Err(self.shape_error("permute", format!("an order of {} axes, got {axes:?}", self.shape().len())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let to: Vec<usize> = axes.iter().map(|axis| x.shape[*axis]).collect();
                let permuted = rearrange!("permute", x, x.len(), |from, to| layout::permute(from, &x.shape, axes, to));
                Ok(Self::on_host(permuted, &to))
            }
            Storage::Gpu(x) => x.permute(axes),
            Storage::Candle(x) => x.permute(axes),
            Storage::Outline(x) => Ok(x.rearranged(&axes.iter().map(|axis| self.shape()[*axis]).collect::<Vec<_>>())),
        }
    }

    /// `length` entries of `axis`, from `start`.
    pub fn narrow(&self, axis: usize, start: usize, length: usize) -> Result<Self> {
        let end = start.saturating_add(length);
        if self.shape().get(axis).is_none_or(|size| end > *size) {
            return Err(self.shape_error("narrow", format!("at least {end} entries on axis {axis}")));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let outer: usize = x.shape[..axis].iter().product();
                if outer == 1 {
                    let view = x.reshaped(&x.shape[axis..]).map(|x| x.rows(start, length));
                    let shape = [&x.shape[..axis], &[length], &x.shape[axis + 1..]].concat();
                    let view = view.and_then(|view| view.reshaped(&shape));
                    let view = view.ok_or_else(|| self.shape_error("narrow", "a weight that is not prepared"))?;
                    return Ok(Self { storage: Storage::Cpu(view) });
                }
                let inner: usize = x.shape[axis + 1..].iter().product();
                let width = x.shape[axis] * inner;
                let narrowed = rearrange!("narrow", x, outer * length * inner, |from, to| {
                    layout::narrow(from, width, start * inner, length * inner, to)
                });
                let mut shape = x.shape.clone();
                shape[axis] = length;
                Ok(Self::on_host(narrowed, &shape))
            }
            Storage::Gpu(x) => x.narrow(axis, start, length),
            Storage::Candle(x) => x.narrow(axis, start, length),
            Storage::Outline(x) => Ok(x.narrow(axis, length)),
        }
    }

    /// Concatenates tensors along `axis`.
    pub fn concat(tensors: &[&Self], axis: usize) -> Result<Self> {
        const OP: &str = "concat";
        let Some(first) = tensors.first() else {
            return Err(crate::Error::Shape { op: OP, expected: "at least one tensor".into(), got: Vec::new() });
        };
        let fits = |tensor: &&Self| {
            let mut axes = tensor.shape().iter().zip(first.shape()).enumerate();
            tensor.shape().len() == first.shape().len() && axes.all(|(i, (a, b))| i == axis || a == b)
        };
        if axis >= first.shape().len() || !tensors.iter().all(fits) {
            let shapes: Vec<_> = tensors.iter().map(|tensor| tensor.shape()).collect();
            return Err(first.shape_error(OP, format!("shapes that differ on axis {axis} only, got {shapes:?}")));
        }
        let mut shape = first.shape().to_vec();
        shape[axis] = tensors.iter().map(|tensor| tensor.shape()[axis]).sum();
        match &first.storage {
            Storage::Cpu(_) => {
                let inner: usize = shape[axis + 1..].iter().product();
                let mut parts = Vec::with_capacity(tensors.len());
                for tensor in tensors {
                    parts.push((tensor.host(OP)?.f32(OP)?, tensor.shape()[axis] * inner));
                }
                let mut out = Floats::take(shape.iter().product());
                layout::concat(&parts, &mut out);
                Ok(Self::made(out, &shape))
            }
            Storage::Gpu(x) => x.concat(tensors, axis),
            Storage::Candle(x) => x.concat(tensors, axis),
            Storage::Outline(x) => Ok(x.rearranged(&shape)),
        }
    }

    /// Repeats the entries of the first axis `count` times.
    pub fn repeat(&self, count: usize) -> Result<Self> {
        match &self.storage {
            Storage::Gpu(x) => x.repeat(count),
            _ => Self::concat(&vec![self; count], 0),
        }
    }

    /// Converts `[n, c, h, w]`, PyTorch's layout of pictures and latents, to channels-last `[n, h, w, c]`.
    pub fn to_channels_last(&self) -> Result<Self> {
        self.dims::<4>("to_channels_last")?;
        self.permute(&[0, 2, 3, 1])
    }

    /// Converts channels-last `[n, h, w, c]` to `[n, c, h, w]`.
    pub fn to_channels_first(&self) -> Result<Self> {
        self.dims::<4>("to_channels_first")?;
        self.permute(&[0, 3, 1, 2])
    }
}
