//! `TensorView`: the place of a tensor in a file. Slicing, transposing and reshaping change the view, not the bytes.

use crate::DType;
use crate::tensor::BlockFormat;
use std::ops::Range;

/// The stored element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// 64-bit float; loaded as `f32`.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit float with 4 bits of exponent, without infinities; loaded as `f16`.
    F8E4M3,
    /// 8-bit float with 5 bits of exponent, the upper half of an `f16`; loaded as `f16`.
    F8E5M2,
    /// Quantised blocks along the last axis.
    Blocks(BlockFormat),
    /// Integers and booleans: listed, but never loaded as weights.
    Integer {
        /// Its name in safetensors.
        name: &'static str,
        /// The bits of an element.
        bits: u8,
    },
    /// Other floats, which are not supported as weights.
    Other {
        /// Its name in safetensors.
        name: &'static str,
        /// The bits of an element.
        bits: u8,
    },
}

/// Every type of safetensors 0.8.
const TYPES: [(&str, StoredType); 23] = {
    const fn integer(name: &'static str, bits: u8) -> (&'static str, StoredType) {
        (name, StoredType::Integer { name, bits })
    }
    const fn other(name: &'static str, bits: u8) -> (&'static str, StoredType) {
        (name, StoredType::Other { name, bits })
    }
    [
        ("F32", StoredType::F32),
        ("F16", StoredType::F16),
        ("BF16", StoredType::Bf16),
        ("F64", StoredType::F64),
        ("F8_E4M3", StoredType::F8E4M3),
        ("F8_E5M2", StoredType::F8E5M2),
        integer("BOOL", 8),
        integer("U8", 8),
        integer("I8", 8),
        integer("U16", 16),
        integer("I16", 16),
        integer("U32", 32),
        integer("I32", 32),
        integer("U64", 64),
        integer("I64", 64),
        other("F8_E8M0", 8),
        other("F8_E4M3FNUZ", 8),
        other("F8_E5M2FNUZ", 8),
        other("F6_E2M3", 6),
        other("F6_E3M2", 6),
        other("F4", 4),
        other("C64", 64),
        other("C128", 128),
    ]
};

impl StoredType {
    /// The type with this name in a safetensors header.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
    }

    /// Its name in a safetensors header, or in GGUF for types that only GGUF has.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::Blocks(format) => format.name(),
            Self::Integer { name, .. } | Self::Other { name, .. } => name,
        }
    }

    /// The bits of an element or a block.
    fn bits(self) -> u64 {
        match self {
            Self::F64 => 64,
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::F8E4M3 | Self::F8E5M2 => 8,
            Self::Blocks(format) => 8 * format.bytes() as u64,
            Self::Integer { bits, .. } | Self::Other { bits, .. } => u64::from(bits),
        }
    }

    /// The number of elements that are stored together.
    pub(crate) fn block(self) -> u64 {
        match self {
            Self::Blocks(format) => format.length() as u64,
            _ => 1,
        }
    }

    /// The bytes of an element or a block, which are never split.
    pub(super) fn unit(self) -> u64 {
        self.bits().div_ceil(8)
    }

    /// The bytes of this number of elements. `None` if the number is impossibly large, or would split a block.
    pub(crate) fn bytes_of(self, elements: u64) -> Option<u64> {
        let whole = elements.is_multiple_of(self.block());
        let bits = whole.then(|| (elements / self.block()).checked_mul(self.bits()))??;
        Some(bits.div_ceil(8))
    }

    /// The type of such a weight in memory; `None` for types that weights cannot have.
    pub fn weight_type(self) -> Option<DType> {
        match self {
            Self::F64 | Self::F32 => Some(DType::F32),
            Self::F16 | Self::F8E4M3 | Self::F8E5M2 => Some(DType::F16),
            Self::Blocks(format) => Some(DType::Blocks(format)),
            Self::Bf16 => Some(DType::Bf16),
            Self::Integer { .. } | Self::Other { .. } => None,
        }
    }
}

/// The type, shape and place of a tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView {
    dtype: StoredType,
    shape: Vec<usize>,
    /// The distance between neighbours in elements, for each axis.
    strides: Vec<usize>,
    /// The first entry of the first axis; the entries before it follow after the last.
    first_row: usize,
    /// The number of its source in the index.
    source: usize,
    /// The place of the first element, in bytes from the start of the source.
    offset: u64,
    /// The bits of the `f32` that all elements are multiplied by, if there is one.
    scale: Option<u32>,
}

impl TensorView {
    /// A tensor with contiguous elements in row-major order. `None` if the sizes overflow.
    pub(crate) fn new(dtype: StoredType, shape: Vec<usize>, offset: u64) -> Option<Self> {
        let strides = row_major(&shape)?;
        Self::strided(dtype, shape, strides, offset)
    }

    /// A tensor with these strides, in elements. `None` if the sizes overflow or there is not one stride for each axis.
    pub(super) fn strided(dtype: StoredType, shape: Vec<usize>, strides: Vec<usize>, offset: u64) -> Option<Self> {
        if shape.len() != strides.len() {
            return None;
        }
        let view = Self { dtype, shape, strides, first_row: 0, source: 0, offset, scale: None };
        view.shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size))?;
        view.checked_range().map(|_| view)
    }

    /// Its stored type.
    pub fn dtype(&self) -> StoredType {
        self.dtype
    }

    /// The same with a number that all elements are multiplied by.
    pub(super) fn scaled(self, scale: f32) -> Self {
        Self { scale: Some(scale.to_bits()), ..self }
    }

    /// The number that all elements are multiplied by.
    pub(super) fn scale(&self) -> Option<f32> {
        self.scale.map(f32::from_bits)
    }

    /// The type that it has in memory as a weight; `None` for types that weights never have. Scaled numbers get the exponents
    /// of `bf16`: they can be smaller than those of `f16`.
    pub fn weight_type(&self) -> Option<DType> {
        if self.scale.is_some() { Some(DType::Bf16) } else { self.dtype.weight_type() }
    }

    /// The sizes of its axes, as in the file: convolution kernels are `[out, in, kh, kw]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The size of its elements, in bytes.
    pub fn bytes(&self) -> u64 {
        // Views of blocks consist of whole ones, which is checked when they are made.
        self.dtype.bytes_of(self.elements() as u64).unwrap_or(u64::MAX)
    }

    /// The index of the element at this position, counted from the first one in the source.
    pub(crate) fn element(&self, position: &[usize]) -> usize {
        let Some((row, inner)) = position.split_first() else { return 0 };
        let row = (row + self.first_row) % self.shape[0].max(1);
        let inner: usize = inner.iter().zip(&self.strides[1..]).map(|(index, stride)| index * stride).sum();
        row * self.strides[0] + inner
    }

    pub(super) fn source(&self) -> usize {
        self.source
    }

    pub(super) fn in_source(self, source: usize) -> Self {
        Self { source, ..self }
    }

    /// The bytes of the source from the first to the last element.
    pub(crate) fn range(&self) -> Range<u64> {
        // Checked when the view was made.
        self.checked_range().unwrap_or(self.offset..self.offset)
    }

    fn checked_range(&self) -> Option<Range<u64>> {
        let mut last = 0_u64;
        for (size, stride) in self.shape.iter().zip(&self.strides) {
            let Some(steps) = size.checked_sub(1) else { return Some(self.offset..self.offset) };
            last = last.checked_add((steps as u64).checked_mul(*stride as u64)?)?;
        }
        let bytes = self.dtype.bytes_of(last.checked_add(1)?)?;
        Some(self.offset..self.offset.checked_add(bytes)?)
    }

    /// Whether the elements are contiguous in row-major order.
    pub(super) fn is_contiguous(&self) -> bool {
        let Some(expected) = row_major(&self.shape).filter(|_| self.first_row == 0) else { return false };
        // The stride of an axis with one entry is never used.
        let mut axes = self.shape.iter().zip(self.strides.iter().zip(&expected));
        self.elements() == 0 || axes.all(|(size, (stride, expected))| *size == 1 || stride == expected)
    }

    /// Whether it can be read from the first to the last row: its elements are in row-major order, and no row begins or
    /// ends inside a block.
    pub(super) fn is_whole(&self) -> bool {
        let row = self.shape.get(1..).unwrap_or_default().iter().product::<usize>() as u64;
        self.is_contiguous() && self.dtype.bytes_of(row).is_some()
    }

    /// `count` entries of the first axis, starting at `start`. `None` if there are fewer, or if a block would be split.
    pub(crate) fn rows(&self, start: usize, count: usize) -> Option<Self> {
        let rows = *self.shape.first().filter(|_| self.first_row == 0)?;
        let stride = *self.strides.first()?;
        if start.checked_add(count)? > rows {
            return None;
        }
        let skipped = self.dtype.bytes_of((start as u64).checked_mul(stride as u64)?)?;
        let mut view = Self { offset: self.offset.checked_add(skipped)?, ..self.clone() };
        view.shape[0] = count;
        view.checked_range().map(|_| view)
    }

    /// All entries of the first axis, starting with this one; those before it follow after the last.
    pub(crate) fn rows_from(&self, first: usize) -> Option<Self> {
        let fits = self.first_row == 0 && self.shape.first().is_some_and(|rows| first < *rows);
        fits.then(|| Self { first_row: first, ..self.clone() })
    }

    /// The view without its first axis, if that has one entry: a table that was stored as a batch of one.
    pub(crate) fn without_batch(&self) -> Option<Self> {
        let (first, shape) = self.shape.split_first()?;
        let is_batch = *first == 1 && !shape.is_empty();
        is_batch.then(|| Self { shape: shape.to_vec(), strides: self.strides[1..].to_vec(), ..self.clone() })
    }

    /// The transpose of a matrix.
    pub(crate) fn transposed(&self) -> Option<Self> {
        if self.first_row != 0 {
            return None;
        }
        let [rows, columns] = *self.shape.as_array()?;
        let [down, right] = *self.strides.as_array()?;
        Some(Self { shape: vec![columns, rows], strides: vec![right, down], ..self.clone() })
    }

    /// The view without the axes of one entry after the second: a 1x1 convolution as a matrix.
    pub(crate) fn pointwise_as_matrix(&self) -> Option<Self> {
        let (axes, rest) = self.shape.split_at_checked(2).filter(|_| self.first_row == 0)?;
        let ones = rest.iter().all(|size| *size == 1);
        ones.then(|| Self { shape: axes.to_vec(), strides: self.strides[..2].to_vec(), ..self.clone() })
    }
}

fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_types_are_one_to_one() {
        for (name, dtype) in TYPES {
            assert_eq!(dtype.name(), name);
            assert_eq!(StoredType::from_name(name), Some(dtype));
        }
        assert_eq!(StoredType::from_name("F33"), None);
    }

    #[test]
    fn views_of_a_matrix() {
        let matrix = TensorView::new(StoredType::F16, vec![6, 4], 100).unwrap();
        assert_eq!((matrix.range(), matrix.bytes()), (100..148, 48));
        let rows = matrix.rows(2, 2).unwrap();
        assert_eq!((rows.shape(), rows.range(), rows.is_contiguous()), (&[2, 4][..], 116..132, true));
        let transposed = matrix.transposed().unwrap();
        assert_eq!((transposed.shape(), transposed.range()), (&[4, 6][..], 100..148));
        assert!(!transposed.is_contiguous() && transposed.transposed().unwrap() == matrix);
        assert_eq!(matrix.rows(5, 2), None);
        let turned = matrix.rows_from(3).unwrap();
        assert_eq!((turned.shape(), turned.range(), turned.is_contiguous()), (matrix.shape(), matrix.range(), false));
        assert_eq!([[0, 1], [3, 0], [5, 3]].map(|position| turned.element(&position)), [13, 0, 11]);
        assert!(matrix.rows_from(6).is_none() && turned.rows(0, 1).is_none() && turned.transposed().is_none());
        let table = TensorView::new(StoredType::F16, vec![1, 6, 4], 100).unwrap();
        assert!(table.without_batch().unwrap() == matrix && matrix.without_batch().is_none());
        let kernel = TensorView::new(StoredType::F16, vec![6, 4, 1, 1], 100).unwrap();
        assert_eq!(kernel.pointwise_as_matrix().unwrap(), matrix);
        assert_eq!(TensorView::new(StoredType::F16, vec![6, 4, 3, 3], 100).unwrap().pointwise_as_matrix(), None);
    }

    #[test]
    fn views_of_blocks() {
        let blocks = StoredType::Blocks(BlockFormat::Q4_0);
        let matrix = TensorView::new(blocks, vec![6, 64], 100).unwrap();
        assert_eq!((matrix.range(), matrix.bytes()), (100..100 + 6 * 36, 6 * 36));
        assert_eq!(matrix.rows(2, 3).unwrap().range(), 172..280);
        assert!(!matrix.transposed().unwrap().is_contiguous());
        assert_eq!(TensorView::new(blocks, vec![3, 48], 0), None, "half a block at the end");
        let awkward = TensorView::new(blocks, vec![2, 48], 0).unwrap();
        assert_eq!((awkward.range(), awkward.rows(1, 1)), (0..54, None));
    }

    #[test]
    fn empty_and_scalar_tensors() {
        let empty = TensorView::new(StoredType::F32, vec![3, 0, 2], 8).unwrap();
        assert_eq!((empty.range(), empty.elements(), empty.is_contiguous()), (8..8, 0, true));
        let scalar = TensorView::new(StoredType::F32, vec![], 8).unwrap();
        assert_eq!((scalar.range(), scalar.elements()), (8..12, 1));
    }

    proptest! {
        #[test]
        fn no_size_panics(shape in prop::collection::vec(any::<usize>(), 0..5), strides in prop::collection::vec(any::<usize>(), 0..5), offset: u64) {
            for view in [TensorView::strided(StoredType::F64, shape.clone(), strides, offset), TensorView::new(StoredType::F64, shape, offset)].into_iter().flatten() {
                let _ = (view.range(), view.elements(), view.bytes(), view.is_contiguous(), view.transposed());
                let _ = (view.rows(1, usize::MAX), view.rows(0, 1), view.pointwise_as_matrix());
                let _ = (view.rows_from(1), view.without_batch());
            }
        }
    }
}
