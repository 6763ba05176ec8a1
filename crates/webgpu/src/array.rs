//! `Array`: numbers on the GPU with their shape.

use crate::shader::Format;
use crate::{Buffer, Context, Error, Result};

/// A dense row-major array, cheap to clone. Activations are `F32` or, where the device has `f16`, `F16`; every other
/// format is for weights and ids.
#[derive(Debug, Clone)]
pub struct Array {
    buffer: Buffer,
    /// The scales of `Q8_0`, one `f16` for each 32 elements.
    scales: Option<Buffer>,
    shape: Vec<usize>,
    format: Format,
}

impl Array {
    /// The numbers in `buffer`, read as `format`.
    ///
    /// # Errors
    /// If the buffer is too small, or `format` is `Q8_0`, which has its own constructors.
    pub fn new(buffer: Buffer, shape: &[usize], format: Format) -> Result<Self> {
        let bytes = bytes("array", shape, format)?;
        if buffer.bytes() < bytes || format == Format::Q8_0 {
            let expected = format!("at most {} bytes of a plain format, not {format:?}", buffer.bytes());
            return Err(Error::Shape { op: "array", expected, got: shape.to_vec() });
        }
        Ok(Self { buffer, scales: None, shape: shape.to_vec(), format })
    }

    /// Quants (`i8`) and scales (`f16`, one for each 32 quants) as a `Q8_0` weight.
    ///
    /// # Errors
    /// If a buffer is too small or rows are not whole blocks.
    pub fn q8_0(quants: Buffer, scales: Buffer, shape: &[usize]) -> Result<Self> {
        let elements = elements("array", shape)? as u64;
        let whole = shape.last().is_some_and(|width| width.is_multiple_of(32));
        if !whole || quants.bytes() < elements || scales.bytes() < elements / 16 {
            let expected = format!("rows of whole blocks of 32 in {} and {} bytes", quants.bytes(), scales.bytes());
            return Err(Error::Shape { op: "array", expected, got: shape.to_vec() });
        }
        Ok(Self { buffer: quants, scales: Some(scales), shape: shape.to_vec(), format: Format::Q8_0 })
    }

    /// Pooled memory for an array, holding whatever was there before.
    ///
    /// # Errors
    /// If there is no room.
    pub fn alloc(context: &Context, shape: &[usize], format: Format) -> Result<Self> {
        Self::new(context.alloc(bytes("array", shape, format)?)?, shape, format)
    }

    /// Memory of its own for a weight, to be [written](Context::write) or, for `Q8_0`,
    /// [repacked](crate::ops::repack_q8_0_rows) into.
    ///
    /// # Errors
    /// If there is no room, or rows of `Q8_0` are not whole blocks.
    pub fn resident(context: &Context, shape: &[usize], format: Format) -> Result<Self> {
        if format != Format::Q8_0 {
            return Self::new(context.resident(bytes("array", shape, format)?)?, shape, format);
        }
        // The kernel writes two blocks at a time.
        let pairs = (elements("array", shape)? as u64 / 32).div_ceil(2);
        Self::q8_0(context.resident(pairs * 64)?, context.resident(pairs * 4)?, shape)
    }

    /// An array of `f32` with the given content.
    ///
    /// # Errors
    /// If there is no room or the length does not fit the shape.
    pub fn from_f32(context: &Context, content: &[f32], shape: &[usize]) -> Result<Self> {
        Self::from_bytes(context, bytemuck::cast_slice(content), shape, Format::F32)
    }

    /// An array with the given content, little-endian.
    ///
    /// # Errors
    /// If there is no room or the length does not fit the shape.
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

    /// The sizes of exactly `N` axes, or an error that names the op which asked.
    pub(crate) fn dims<const N: usize>(&self, op: &'static str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| self.shape_error(op, format!("{N} axes")))
    }

    /// The number of elements; it fits a `u32`.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// How the numbers are stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The memory. Of `Q8_0` these are the quants.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Of `Q8_0`, the scales.
    pub(crate) fn scales(&self) -> Option<&Buffer> {
        self.scales.as_ref()
    }

    /// Every buffer that a kernel binds for this array, in order.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        std::iter::once(&self.buffer).chain(&self.scales)
    }

    /// The same numbers in another shape.
    ///
    /// # Errors
    /// If the shapes have different numbers of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if elements("reshape", shape)? != self.elements() {
            return Err(self.shape_error("reshape", format!("as many elements as {shape:?} has")));
        }
        Ok(Self { shape: shape.to_vec(), ..self.clone() })
    }

    /// `count` elements from `first` on as a flat array over the same memory.
    ///
    /// # Errors
    /// If they are not inside, or `first` is not where a binding may start.
    pub(crate) fn part(&self, first: usize, count: usize) -> Result<Self> {
        let size = self.format.size();
        let buffer = self.buffer.slice(first as u64 * size, count as u64 * size)?;
        Self::new(buffer, &[count], self.format)
    }

    /// Bytes of `elements` elements.
    pub(crate) fn bytes_of(&self, elements: usize) -> u64 {
        elements as u64 * self.format.size()
    }

    pub(crate) fn shape_error(&self, op: &'static str, expected: impl Into<String>) -> Error {
        Error::Shape { op, expected: expected.into(), got: self.shape.clone() }
    }
}

/// The number of elements of a shape, if a kernel can count them in a `u32`.
fn elements(op: &'static str, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    count.filter(|&count| u32::try_from(count).is_ok()).ok_or_else(|| Error::Shape {
        op,
        expected: "at most 4294967295 elements".to_owned(),
        got: shape.to_vec(),
    })
}

/// Bytes that an array takes.
fn bytes(op: &'static str, shape: &[usize], format: Format) -> Result<u64> {
    Ok(elements(op, shape)? as u64 * format.size())
}
