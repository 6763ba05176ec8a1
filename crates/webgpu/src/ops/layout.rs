//! Copies between layouts and formats: `permute`, `narrow`, `concat`, `repeat` and `cast` are one kernel.

use super::pieces::aligned;
use super::{Launch, width, width_constant, writable};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Context, Error, Result};
use std::ops::Range;

/// The most axes in kernels.
const MOST_AXES: usize = 8;

/// The axes of a copy, innermost first: sizes, and strides on two sides.
pub(super) struct Axes {
    axes: Vec<(usize, [usize; 2])>,
}

impl Axes {
    /// Removes axes of size 1, and merges neighbours that are contiguous on both sides.
    pub(super) fn merged(
        op: &'static str,
        array: &Array,
        axes: impl Iterator<Item = (usize, [usize; 2])>,
    ) -> Result<Self> {
        let mut merged: Vec<(usize, [usize; 2])> = Vec::new();
        for (size, strides) in axes.filter(|(size, _)| *size != 1) {
            match merged.last_mut() {
                Some((inner, inner_strides)) if [0, 1].iter().all(|&i| strides[i] == *inner * inner_strides[i]) => {
                    *inner *= size;
                }
                _ => merged.push((size, strides)),
            }
        }
        if merged.is_empty() {
            merged.push((1, [1, 1]));
        }
        if merged.len() > MOST_AXES {
            return Err(array.shape_error(op, format!("at most {MOST_AXES} axes that cannot be merged")));
        }
        Ok(Self { axes: merged })
    }

    pub(super) fn count(&self) -> usize {
        self.axes.len()
    }

    pub(super) fn size(&self, axis: usize) -> usize {
        self.axes[axis].0
    }

    pub(super) fn strides(&self, side: usize) -> Vec<usize> {
        self.axes.iter().map(|(_, strides)| strides[side]).collect()
    }

    /// Elements from the first to the last on this side.
    fn span(&self, side: usize) -> usize {
        self.axes.iter().map(|(size, strides)| (size - 1) * strides[side]).sum::<usize>() + 1
    }

    /// The axis whose split reduces the span on this side most, and the length of its first half.
    fn half(&self, side: usize) -> Option<(usize, usize)> {
        let long = self.axes.iter().enumerate().filter(|(_, (size, strides))| *size > 1 && strides[side] > 0);
        let (axis, (size, _)) = long.max_by_key(|(_, (_, strides))| strides[side])?;
        // Runs of elements are split at multiples of four, to keep vectors.
        let whole = size / 2 / 4 * 4;
        Some((axis, if whole > 0 { whole } else { size / 2 }))
    }

    fn with_size(&self, axis: usize, size: usize) -> Self {
        let mut axes = self.axes.clone();
        axes[axis].0 = size;
        Self { axes }
    }

    /// Converts counts to vectors: the innermost size, and with `strides` the outer strides.
    pub(super) fn in_vectors(&mut self, width: usize, strides: bool) {
        self.axes[0].0 /= width;
        if strides {
            self.axes.iter_mut().skip(1).flat_map(|(_, strides)| strides).for_each(|stride| *stride /= width);
        }
    }

    /// The uniform block: sizes, the strides of these sides, and further words.
    pub(super) fn uniforms(&self, sides: &[usize], more: &[usize]) -> Vec<u32> {
        let padded = |values: Vec<usize>| {
            let mut block = [0; MOST_AXES];
            block.iter_mut().zip(values).for_each(|(word, value)| *word = value as u32);
            block
        };
        let mut words = padded(self.axes.iter().map(|(size, _)| *size).collect()).to_vec();
        sides.iter().for_each(|&side| words.extend(padded(self.strides(side))));
        words.extend(more.iter().map(|&value| value as u32));
        words
    }
}

/// One copy: `x` and `y` with an offset each, and the axes between them.
struct Copy<'a> {
    op: &'static str,
    x: &'a Array,
    y: &'a Array,
    offsets: [usize; 2],
}

impl Copy<'_> {
    /// Copies along `axes`, innermost first: size, stride in `x`, stride in `y`.
    fn run(&self, context: &Context, axes: impl Iterator<Item = (usize, [usize; 2])>) -> Result<()> {
        self.block(context, Axes::merged(self.op, self.x, axes)?, self.offsets)
    }

    /// Copies a block, in halves if one side exceeds the binding limit.
    fn block(&self, context: &Context, mut axes: Axes, mut offsets: [usize; 2]) -> Result<()> {
        let [from, to] = formats(context, self.x.format(), self.y.format());
        let mut count = (0..axes.count()).map(|axis| axes.size(axis)).product();
        if count == 0 {
            return Ok(());
        }
        let limit = context.capabilities().limits.storage_binding;
        let sides = [self.x, self.y];
        // Packed results start at 0, so they are bound as a whole.
        let whole = |array: &Array| array.bytes_of(array.elements()) <= limit || to == Format::U16;
        // The first bound element, and their number.
        let bound = [0, 1].map(|side| {
            let first = aligned(offsets[side], sides[side].format().size());
            (first, offsets[side] - first + axes.span(side))
        });
        for (side, (_, span)) in bound.into_iter().enumerate() {
            if !whole(sides[side])
                && sides[side].bytes_of(span) > limit
                && let Some((axis, half)) = axes.half(side)
            {
                let later = [0, 1].map(|side| offsets[side] + half * axes.axes[axis].1[side]);
                self.block(context, axes.with_size(axis, half), offsets)?;
                return self.block(context, axes.with_size(axis, axes.size(axis) - half), later);
            }
        }
        let mut parts = [self.x.clone(), self.y.clone()];
        for (side, (first, span)) in bound.into_iter().enumerate().filter(|(side, _)| !whole(sides[*side])) {
            parts[side] = sides[side].part(first, span)?;
            offsets[side] -= first;
        }
        let mut lanes = 1;
        if to != Format::U16 && axes.axes[0].1 == [1, 1] {
            let outer = |side: usize| axes.strides(side)[1..].to_vec();
            lanes = [&[axes.size(0)][..], &outer(0), &outer(1), &offsets]
                .iter()
                .map(|sizes| width(sizes))
                .min()
                .unwrap_or(1);
            axes.in_vectors(lanes, true);
            offsets = offsets.map(|offset| offset / lanes);
            count /= lanes;
        }
        let uniforms = axes.uniforms(&[0, 1], &[offsets[0], offsets[1], count]);
        let kernel = kernel([from, to], axes.count(), lanes);
        let items = if to == Format::U16 { count.div_ceil(2) } else { count };
        let [x, y] = &parts;
        Launch { kernel, inputs: &[x], outputs: &[y], uniforms: &uniforms }.run_each(context, items)
    }
}

/// The formats in the kernel: 16-bit elements that the device cannot write are copied as raw bits.
fn formats(context: &Context, from: Format, to: Format) -> [Format; 2] {
    let opaque = match to {
        Format::Bf16 | Format::U16 => true,
        Format::F16 => !context.capabilities().f16,
        _ => false,
    };
    if opaque && from == to { [Format::U16; 2] } else { [from, to] }
}

pub(super) fn kernel([from, to]: [Format; 2], axes: usize, width: usize) -> Kernel {
    let axes = ("AXES", Constant::U32(axes as u32));
    let constants = vec![("X", Constant::Format(from)), ("Y", Constant::Format(to)), axes, width_constant(width)];
    Kernel { name: "copy", source: include_str!("../kernels/copy.wgsl"), constants }
}

/// Strides of a dense array.
fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Checks a format that copies support: all except blocks, which only [`repack`](super::repack) writes.
fn copied_format(op: &'static str, x: &Array) -> Result<Format> {
    match x.format() {
        Format::Blocks(format) => Err(x.shape_error(op, format!("a plain format, not {},", format.name()))),
        format => Ok(format),
    }
}

/// The axes in another order.
///
/// # Errors
/// If `order` does not name every axis once.
pub fn permute(context: &Context, x: &Array, order: &[usize]) -> Result<Array> {
    const OP: &str = "permute";
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.shape().len()) {
        return Err(x.shape_error(OP, format!("an order of {} axes, not {order:?},", x.shape().len())));
    }
    let shape: Vec<usize> = order.iter().map(|&axis| x.shape()[axis]).collect();
    let y = Array::alloc(context, &shape, copied_format(OP, x)?)?;
    let from = dense(x.shape());
    let to = dense(&shape);
    let axes = (0..shape.len()).rev().map(|axis| (shape[axis], [from[order[axis]], to[axis]]));
    Copy { op: OP, x, y: &y, offsets: [0, 0] }.run(context, axes)?;
    Ok(y)
}

/// `length` entries of `axis`, from `start`.
///
/// # Errors
/// If the axis does not have them.
pub fn narrow(context: &Context, x: &Array, axis: usize, start: usize, length: usize) -> Result<Array> {
    const OP: &str = "narrow";
    let end = start.saturating_add(length);
    if x.shape().get(axis).is_none_or(|size| end > *size) {
        return Err(x.shape_error(OP, format!("at least {end} entries on axis {axis}")));
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = length;
    let y = Array::alloc(context, &shape, copied_format(OP, x)?)?;
    let from = dense(x.shape());
    let to = dense(&shape);
    let axes = (0..shape.len()).rev().map(|axis| (shape[axis], [from[axis], to[axis]]));
    Copy { op: OP, x, y: &y, offsets: [start * from[axis], 0] }.run(context, axes)?;
    Ok(y)
}

/// Concatenates arrays of one format along `axis`.
///
/// # Errors
/// If shapes differ on another axis, or formats differ, or the device cannot write the format.
pub fn concat(context: &Context, arrays: &[&Array], axis: usize) -> Result<Array> {
    const OP: &str = "concat";
    let first = arrays.first().ok_or_else(|| Error::Shape {
        op: OP,
        expected: "at least one array".to_owned(),
        got: Vec::new(),
    })?;
    let mut shape = first.shape().to_vec();
    let without =
        |shape: &[usize]| shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, n)| *n).collect::<Vec<_>>();
    let other = |array: &&&Array| {
        array.shape().len() != shape.len()
            || without(array.shape()) != without(&shape)
            || array.format() != first.format()
    };
    if axis >= shape.len() || arrays.iter().any(|array| other(&array)) {
        let shapes: Vec<_> = arrays.iter().map(|array| (array.format(), array.shape())).collect();
        return Err(
            first.shape_error(OP, format!("one format and shapes that differ on axis {axis} only, not {shapes:?},"))
        );
    }
    shape[axis] = arrays.iter().map(|array| array.shape()[axis]).sum();
    let format = copied_format(OP, first)?;
    if formats(context, format, format)[1] == Format::U16 {
        return Err(Error::Unsupported { feature: "way to join packed 16-bit arrays" });
    }
    let y = Array::alloc(context, &shape, format)?;
    let to = dense(&shape);
    let mut start = 0;
    for x in arrays {
        let from = dense(x.shape());
        let axes = (0..shape.len()).rev().map(|axis| (x.shape()[axis], [from[axis], to[axis]]));
        Copy { op: OP, x, y: &y, offsets: [0, start * to[axis]] }.run(context, axes)?;
        start += x.shape()[axis];
    }
    Ok(y)
}

/// Repeats the entries of the first axis `count` times.
///
/// # Errors
/// If `x` has no axis, or memory is exhausted.
pub fn repeat(context: &Context, x: &Array, count: usize) -> Result<Array> {
    const OP: &str = "repeat";
    let mut shape = x.shape().to_vec();
    let first = shape.first_mut().ok_or_else(|| x.shape_error(OP, "at least one axis"))?;
    *first *= count;
    let y = Array::alloc(context, &shape, copied_format(OP, x)?)?;
    let axes = [(x.elements(), [1, 1]), (count, [0, x.elements()])];
    Copy { op: OP, x, y: &y, offsets: [0, 0] }.run(context, axes.into_iter())?;
    Ok(y)
}

/// Converts the elements to another format.
///
/// # Errors
/// If the device cannot write that format: `Bf16` and blocks never, `F16` only if it has 16-bit floats.
pub fn cast(context: &Context, x: &Array, format: Format) -> Result<Array> {
    const OP: &str = "cast";
    if x.format() == format {
        return Ok(x.clone());
    }
    if !matches!(format, Format::F32 | Format::F16) || x.format() == Format::U16 {
        return Err(x.shape_error(OP, format!("a cast to F32 or F16, not from {:?} to {format:?},", x.format())));
    }
    let y = Array::alloc(context, x.shape(), writable(context, format)?)?;
    let axes = std::iter::once((x.elements(), [1, 1]));
    Copy { op: OP, x, y: &y, offsets: [0, 0] }.run(context, axes)?;
    Ok(y)
}

/// Some rows of a weight in another format.
pub(super) fn cast_rows(context: &Context, x: &Array, rows: Range<usize>, format: Format) -> Result<Array> {
    const OP: &str = "cast";
    let inner = x.shape().get(1..).unwrap_or_default();
    let row: usize = inner.iter().product();
    let y = Array::alloc(context, &[&[rows.len()], inner].concat(), writable(context, format)?)?;
    let axes = std::iter::once((y.elements(), [1, 1]));
    Copy { op: OP, x, y: &y, offsets: [rows.start * row, 0] }.run(context, axes)?;
    Ok(y)
}
