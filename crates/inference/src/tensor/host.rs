//! Tensors in host memory: contiguous elements and a shape, as slices for `easel-cpu`.
//!
//! Another shape, or a range of the first axis, is a view of the same elements. The results of ops are in pooled memory
//! (`easel_cpu::Floats`), so a sampling loop allocates none after its first step.

use super::outline::no_numbers;
use super::{BlockFormat, DType, Data, Products, Storage, Tensor};
use crate::{Error, Result};
use easel_cpu::{Floats, Level, Matrix, PackedWeight, Weight};
use half::slice::HalfFloatSliceExt;
use half::vec::HalfFloatVecExt;
use std::borrow::Cow;
use std::sync::Arc;

/// A contiguous view of elements in host memory.
#[derive(Clone)]
pub(super) struct Host {
    numbers: Arc<Numbers>,
    /// The first element.
    start: usize,
    pub(super) shape: Vec<usize>,
}

/// The contents of the memory.
pub(super) enum Numbers {
    /// The result of an op.
    Pooled(Floats),
    /// Data from a file or a caller.
    Plain(Data),
    /// A weight that is only used in products, with its element type.
    Packed(PackedWeight, DType),
}

impl Numbers {
    fn dtype(&self) -> DType {
        match self {
            Self::Pooled(_) => DType::F32,
            Self::Plain(data) => data.dtype(),
            Self::Packed(_, dtype) => *dtype,
        }
    }
}

/// The elements of a view.
pub(super) enum View<'a> {
    F32(&'a [f32]),
    F16(&'a [half::f16]),
    Bf16(&'a [half::bf16]),
    U32(&'a [u32]),
    Blocks(BlockFormat, &'a [u8]),
}

/// Copies elements of any type in another order. `$copy` is called with the source and destination slices.
macro_rules! rearrange {
    ($op:expr, $x:expr, $len:expr, |$from:ident, $to:ident| $copy:expr) => {{
        use crate::tensor::host::{Numbers, View};
        use crate::tensor::{DType, Data};
        let length = $len;
        match $x.view($op)? {
            View::F32($from) => {
                let mut to = easel_cpu::Floats::take(length);
                let $to = &mut to[..];
                $copy;
                Numbers::Pooled(to)
            }
            View::F16($from) => rearrange!(@ F16, $from, $to, length, $copy),
            View::Bf16($from) => rearrange!(@ Bf16, $from, $to, length, $copy),
            View::U32($from) => rearrange!(@ U32, $from, $to, length, $copy),
            View::Blocks(format, _) => return Err(crate::tensor::host::unsupported($op, DType::Blocks(format))),
        }
    }};
    (@ $variant:ident, $from:ident, $to:ident, $len:ident, $copy:expr) => {{
        let mut to = Data::zeros(DType::$variant, $len);
        if let Data::$variant(to) = &mut to {
            let $to = &mut to[..];
            $copy;
        }
        Numbers::Plain(to)
    }};
}
pub(super) use rearrange;

impl Host {
    pub(super) fn new(numbers: Numbers, shape: &[usize]) -> Self {
        Self { numbers: Arc::new(numbers), start: 0, shape: shape.to_vec() }
    }

    pub(super) fn dtype(&self) -> DType {
        self.numbers.dtype()
    }

    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The same elements in another shape. A packed weight keeps its number of rows.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let packed = matches!(*self.numbers, Numbers::Packed(..));
        let fits = !packed || shape.first() == self.shape.first();
        fits.then(|| Self { shape: shape.to_vec(), ..self.clone() })
    }

    /// `length` entries of the first axis, from `start`.
    pub(super) fn rows(&self, start: usize, length: usize) -> Self {
        let row: usize = self.shape[1..].iter().product();
        let mut view = Self { start: self.start + start * row, ..self.clone() };
        view.shape[0] = length;
        view
    }

    /// The elements in their type.
    pub(super) fn view(&self, op: &'static str) -> Result<View<'_>> {
        let range = self.start..self.start + self.len();
        Ok(match &*self.numbers {
            Numbers::Pooled(data) => View::F32(&data[range]),
            Numbers::Plain(Data::F32(data)) => View::F32(&data[range]),
            Numbers::Plain(Data::F16(data)) => View::F16(&data[range]),
            Numbers::Plain(Data::Bf16(data)) => View::Bf16(&data[range]),
            Numbers::Plain(Data::U32(data)) => View::U32(&data[range]),
            Numbers::Plain(Data::Blocks(format, data)) => {
                let length = format.length();
                if range.start % length != 0 || range.end % length != 0 {
                    return Err(unsupported(op, self.dtype()));
                }
                View::Blocks(*format, &data[range.start / length * format.bytes()..range.end / length * format.bytes()])
            }
            Numbers::Packed(..) => {
                return Err(Error::Backend { op, reason: "a prepared weight can only be used in products".into() });
            }
        })
    }

    /// The elements, which must be `f32`.
    pub(super) fn f32(&self, op: &'static str) -> Result<&[f32]> {
        match self.view(op)? {
            View::F32(data) => Ok(data),
            _ => Err(Error::Backend { op, reason: format!("expected f32 on the CPU, got {:?}", self.dtype()) }),
        }
    }

    /// The elements as `f32`, widened from smaller float types (biases, norm weights).
    pub(super) fn widened(&self, op: &'static str) -> Result<Cow<'_, [f32]>> {
        Ok(match self.view(op)? {
            View::F32(data) => data.into(),
            View::F16(data) => data.to_f32_vec().into(),
            View::Bf16(data) => data.to_f32_vec().into(),
            View::U32(data) => data.iter().map(|x| *x as f32).collect(),
            View::Blocks(format, data) => widened(format, data).into(),
        })
    }

    /// A copy of the elements.
    pub(super) fn to_data(&self, op: &'static str) -> Result<Data> {
        Ok(match self.view(op)? {
            View::F32(data) => Data::F32(data.to_vec()),
            View::F16(data) => Data::F16(data.to_vec()),
            View::Bf16(data) => Data::Bf16(data.to_vec()),
            View::U32(data) => Data::U32(data.to_vec()),
            View::Blocks(format, data) => Data::Blocks(format, data.to_vec()),
        })
    }

    /// A copy of the elements in another type, rounded to the nearest.
    pub(super) fn cast(&self, op: &'static str, dtype: DType) -> Result<Numbers> {
        if let DType::Blocks(format) = dtype {
            return Ok(Numbers::Plain(Data::Blocks(format, self.blocks(op, format)?)));
        }
        let wide = self.widened(op)?;
        Ok(match dtype {
            DType::F32 => Numbers::Pooled(Floats::copy(&wide)),
            DType::F16 => Numbers::Plain(Data::F16(Vec::from_f32_slice(&wide))),
            DType::Bf16 => Numbers::Plain(Data::Bf16(Vec::from_f32_slice(&wide))),
            DType::U32 | DType::Blocks(_) => Numbers::Plain(Data::U32(wide.iter().map(|x| *x as u32).collect())),
        })
    }

    /// Quantises the elements, some at a time, so that a large weight is never widened as a whole.
    fn blocks(&self, op: &'static str, format: BlockFormat) -> Result<Vec<u8>> {
        /// Elements at a time, in whole blocks of every format.
        const CHUNK: usize = 64 << 10;
        let fits = self.shape.last().is_some_and(|width| width.is_multiple_of(format.length()));
        if !fits || !format.quantises() {
            return Err(unsupported(op, DType::Blocks(format)));
        }
        let quantise = |x: &[f32]| format.quantise(x).unwrap_or_default();
        Ok(match self.view(op)? {
            View::F32(data) => data.chunks(CHUNK).flat_map(quantise).collect(),
            View::F16(data) => data.chunks(CHUNK).flat_map(|x| quantise(&x.to_f32_vec())).collect(),
            View::Bf16(data) => data.chunks(CHUNK).flat_map(|x| quantise(&x.to_f32_vec())).collect(),
            View::Blocks(same, data) if same == format => data.to_vec(),
            View::Blocks(other, data) => {
                let chunk = CHUNK / other.length() * other.bytes();
                data.chunks(chunk).flat_map(|blocks| quantise(&widened(other, blocks))).collect()
            }
            View::U32(_) => return Err(unsupported(op, DType::U32)),
        })
    }

    /// The elements as the right-hand side of a product with `shape[0]` rows.
    pub(super) fn matrix(&self, op: &'static str) -> Result<Matrix<'_>> {
        if let Numbers::Packed(packed, _) = &*self.numbers {
            return Ok(packed.into());
        }
        self.weight(op).map(Matrix::Rows)
    }

    fn weight(&self, op: &'static str) -> Result<Weight<'_>> {
        Ok(match self.view(op)? {
            View::F32(data) => Weight::F32(data),
            View::F16(data) => Weight::F16(data),
            View::Bf16(data) => Weight::Bf16(data),
            View::Blocks(format, bytes) => Weight::Blocks { format, bytes },
            View::U32(_) => return Err(unsupported(op, DType::U32)),
        })
    }

    /// The weight in the fastest form for its op: a matrix or kernel in panels, for products in lower precision or in
    /// its own type; a vector as `f32`. Pairs of bfloat16 lie along the channels, so an odd number of channels is
    /// multiplied in `f32`.
    pub(super) fn prepared(&self, products: Products) -> Result<Self> {
        const OP: &str = "prepared";
        if matches!(*self.numbers, Numbers::Packed(..)) {
            return Ok(self.clone());
        }
        let numbers = match self.shape.as_slice() {
            [n, rest @ ..] if !rest.is_empty() => {
                let weight = self.weight(OP)?;
                let size = [*n, rest.iter().product()];
                let even = rest.last().is_some_and(|channels| channels % 2 == 0);
                let is_widened =
                    matches!(weight, Weight::Blocks { format, .. } if !Level::current().prefers_integers(format));
                let packed = match products {
                    Products::F32 => PackedWeight::new(weight, size),
                    _ if is_widened => PackedWeight::new(weight, size),
                    Products::Bf16 if even => PackedWeight::bf16(weight, size),
                    Products::Integers | Products::Bf16 => PackedWeight::integers(weight, size),
                };
                Numbers::Packed(packed, self.dtype())
            }
            // Not from the pool: the weight would occupy a possibly longer buffer for the lifetime of the model.
            _ => Numbers::Plain(Data::F32(self.widened(OP)?.into_owned())),
        };
        Ok(Self::new(numbers, &self.shape))
    }
}

impl Tensor {
    /// The host view of a tensor, which is an error for other devices.
    pub(super) fn host(&self, op: &'static str) -> Result<&Host> {
        match &self.storage {
            Storage::Cpu(host) => Ok(host),
            Storage::Candle(_) | Storage::Gpu(_) => Err(elsewhere(op, self, "the host")),
            Storage::Outline(_) => Err(no_numbers(op)),
        }
    }

    /// A tensor with these contents on the CPU.
    pub(super) fn on_host(numbers: Numbers, shape: &[usize]) -> Self {
        Self { storage: Storage::Cpu(Host::new(numbers, shape)) }
    }

    /// A tensor with the result of an op on the CPU.
    pub(super) fn made(floats: Floats, shape: &[usize]) -> Self {
        Self::on_host(Numbers::Pooled(floats), shape)
    }

    /// The weight in the fastest form for the ops of its device. It can then only be used in products.
    ///
    /// On the CPU matrices and kernels become panels, in their own type or for products in lower precision, and vectors
    /// (biases, norm weights) become `f32`. On other devices nothing changes.
    pub fn prepared(&self, products: Products) -> Result<Self> {
        match &self.storage {
            Storage::Cpu(host) => Ok(Self { storage: Storage::Cpu(host.prepared(products)?) }),
            Storage::Outline(outline) => Ok(outline.prepared(products)),
            Storage::Candle(_) | Storage::Gpu(_) => Ok(self.clone()),
        }
    }
}

/// Widens whole blocks.
fn widened(format: BlockFormat, blocks: &[u8]) -> Vec<f32> {
    let mut wide = vec![0.0; blocks.len() / format.bytes() * format.length()];
    format.widen(blocks, &mut wide);
    wide
}

/// An optional operand (a bias, a residual) in host memory, as `f32`.
pub(super) fn optional<'a>(op: &'static str, tensor: Option<&'a Tensor>) -> Result<Option<Cow<'a, [f32]>>> {
    tensor.map(|tensor| tensor.host(op)?.widened(op)).transpose()
}

/// The error if an op does not support elements of this type or shape.
pub(super) fn unsupported(op: &'static str, dtype: DType) -> Error {
    Error::Backend { op, reason: format!("{dtype:?} of this shape is not supported") }
}

/// The error if an operand is on another device than the op.
pub(super) fn elsewhere(op: &'static str, tensor: &Tensor, expected: &str) -> Error {
    Error::Backend { op, reason: format!("one tensor is on {}, expected all on {expected}", tensor.device()) }
}
