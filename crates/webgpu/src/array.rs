//! `Array`: a GPU buffer with shape and format.

use crate::shader::Format;
use crate::{Buffer, Context, Error, Result};

/// A dense row-major array, cheap to clone. Activations are `F32` or, if the device supports it, `F16`. The other
/// formats are for weights and ids.
#[derive(Debug, Clone)]
pub struct Array {
    buffer: Buffer,
    shape: Vec<usize>,
    format: Format,
}

impl Array {
    /// An array over `buffer` in this format.
    ///
    /// # Errors
    /// If the buffer is too small, or rows are not whole blocks.
    pub fn new(buffer: Buffer, shape: &[usize], format: Format) -> Result<Self> {
        if buffer.bytes() < bytes("array", shape, format)? {
            let expected = format!("at most {} bytes of {format:?}", buffer.bytes());
            return Err(Error::Shape { op: "array", expected, got: shape.to_vec() });
        }
        Ok(Self { buffer, shape: shape.to_vec(), format })
    }

    /// An array in pooled memory, with undefined contents.
    ///
    /// # Errors
    /// If memory is exhausted.
    pub fn alloc(context: &Context, shape: &[usize], format: Format) -> Result<Self> {
        Self::new(context.alloc(bytes("array", shape, format)?)?, shape, format)
    }

    /// An array in separate memory for a weight, to be filled by [writing](Context::write) or, for blocks, by
    /// [repacking](crate::ops::repack_rows).
    ///
    /// # Errors
    /// If memory is exhausted, or rows are not whole blocks.
    pub fn resident(context: &Context, shape: &[usize], format: Format) -> Result<Self> {
        Self::new(context.resident(bytes("array", shape, format)?)?, shape, format)
    }

    /// An array of `f32` with the given content.
    ///
    /// # Errors
    /// If memory is exhausted, or the length does not fit the shape.
    pub fn from_f32(context: &Context, content: &[f32], shape: &[usize]) -> Result<Self> {
        Self::from_bytes(context, bytemuck::cast_slice(content), shape, Format::F32)
    }

    /// An array with the given content, little-endian.
    ///
    /// # Errors
    /// If memory is exhausted, or the length does not fit the shape.
    pub fn from_bytes(context: &Context, content: &[u8], shape: &[usize], format: Format) -> Result<Self> {
        if content.len() as u64 != bytes("array", shape, format)? {
            let expected = format!("{} bytes of {format:?}", content.len());
            return Err(Error::Shape { op: "array", expected, got: shape.to_vec() });
        }
        Self::new(context.upload(content)?, shape, format)
    }

    /// The sizes of all axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The sizes of exactly `N` axes, or an error that names the op.
    pub(crate) fn dims<const N: usize>(&self, op: &'static str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| self.shape_error(op, format!("{N} axes")))
    }

    /// The number of elements, which fits a `u32`.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The format of the elements.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// If the shapes have different numbers of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if elements("reshape", shape)? != self.elements() {
            return Err(self.shape_error("reshape", format!("the number of elements of {shape:?}")));
        }
        Ok(Self { shape: shape.to_vec(), ..self.clone() })
    }

    /// `count` elements from `first`, as a flat array over the same memory.
    ///
    /// # Errors
    /// If they are not inside, or a binding cannot start at `first`.
    pub(crate) fn part(&self, first: usize, count: usize) -> Result<Self> {
        let buffer = self.buffer.slice(self.bytes_of(first), self.bytes_of(count))?;
        Self::new(buffer, &[count], self.format)
    }

    /// Bytes of `elements` elements.
    pub(crate) fn bytes_of(&self, elements: usize) -> u64 {
        self.format.bytes(elements as u64)
    }

    pub(crate) fn shape_error(&self, op: &'static str, expected: impl Into<String>) -> Error {
        Error::Shape { op, expected: expected.into(), got: self.shape.clone() }
    }
}

/// The number of elements of a shape, if it fits a `u32`.
fn elements(op: &'static str, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    count.filter(|&count| u32::try_from(count).is_ok()).ok_or_else(|| Error::Shape {
        op,
        expected: "at most 4294967295 elements".to_owned(),
        got: shape.to_vec(),
    })
}

/// The bytes of an array.
fn bytes(op: &'static str, shape: &[usize], format: Format) -> Result<u64> {
    let block = format.block();
    if !shape.last().copied().unwrap_or(1).is_multiple_of(block) {
        let expected = format!("rows of whole blocks of {block} for {format:?}");
        return Err(Error::Shape { op, expected, got: shape.to_vec() });
    }
    Ok(format.bytes(elements(op, shape)? as u64))
}
