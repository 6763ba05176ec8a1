//! Elementwise arithmetic, separate activations, and the moments of whole pictures.

use super::layout::Axes;
use super::norm::{subgroups, threads};
use super::pieces::pieces;
use super::{
    Activation, Binary, Launch, activation_constant, activation_format, width, width_constant, words, writable,
};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Capabilities, Context, Result};

/// The name of the operation in the kernel.
fn word(operation: Binary) -> &'static str {
    match operation {
        Binary::Add => "add",
        Binary::Sub => "sub",
        Binary::Mul => "mul",
        Binary::Div => "div",
    }
}

/// `a op b` in `a`'s shape. `b` may have fewer axes, and its axes of size 1 are broadcast.
///
/// # Errors
/// If a shape or format does not fit.
pub fn binary(context: &Context, operation: Binary, a: &Array, b: &Array) -> Result<Array> {
    let op = word(operation);
    let pairs = a.shape().iter().rev().zip(b.shape().iter().rev());
    if b.shape().len() > a.shape().len() || pairs.into_iter().any(|(a, b)| *b != *a && *b != 1) {
        return Err(b.shape_error(op, format!("axes of {:?} or of size 1", a.shape())));
    }
    let y = Array::alloc(context, a.shape(), writable(context, activation_format(op, a)?)?)?;
    if a.elements() == 0 {
        return Ok(y);
    }
    let mut stride = 1;
    let axes = a.shape().iter().rev().enumerate().map(|(axis, &size)| {
        let own = b.shape().len().checked_sub(axis + 1).map_or(1, |axis| b.shape()[axis]);
        let repeats = own == 1;
        stride *= own;
        (size, [if repeats { 0 } else { stride / own }, 0])
    });
    let mut axes = Axes::merged(op, a, axes)?;
    let splat = axes.strides(0)[0] == 0;
    let outer: Vec<usize> = axes.strides(0).into_iter().skip(1).collect();
    let width = if splat { width(&[axes.size(0)]) } else { width(&[axes.size(0)]).min(width(&outer)) };
    axes.in_vectors(width, !splat);
    let kernel = binary_kernel(operation, [a.format(), b.format(), y.format()], axes.count(), splat, width);
    // A right array without broadcasting is split like the left one; any other is bound as a whole.
    let cut = b.elements() == a.elements();
    for run in pieces(context, a.elements(), &[a.bytes_of(1), b.bytes_of(usize::from(cut))]) {
        let [a, y] = [a, &y].map(|array| array.part(run.start, run.len()));
        let a = a?;
        let y = y?;
        let (b, first) = if cut { (b.part(run.start, run.len())?, 0) } else { (b.clone(), run.start / width) };
        let count = run.len() / width;
        let uniforms = axes.uniforms(&[0], &[count, first]);
        let kernel = kernel.clone();
        Launch { kernel, inputs: &[&a, &b], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
    }
    Ok(y)
}

pub(super) fn binary_kernel(operation: Binary, formats: [Format; 3], axes: usize, splat: bool, width: usize) -> Kernel {
    let [a, b, y] = formats.map(Constant::Format);
    let function = ("FUNCTION", Constant::Name(word(operation)));
    let axes = ("AXES", Constant::U32(axes as u32));
    let constants =
        vec![("A", a), ("B", b), ("Y", y), function, axes, ("SPLAT", Constant::Bool(splat)), width_constant(width)];
    Kernel { name: "binary", source: include_str!("../kernels/binary.wgsl"), constants }
}

/// An activation function of every element.
///
/// # Errors
/// If `x` is not an activation.
pub fn activation(context: &Context, x: &Array, activation: Activation) -> Result<Array> {
    unary(context, "activation", x, activation, [0.0; 2])
}

/// `x * scale + offset`.
///
/// # Errors
/// If `x` is not an activation.
pub fn affine(context: &Context, x: &Array, scale: f32, offset: f32) -> Result<Array> {
    unary(context, "affine", x, Activation::None, [scale, offset])
}

/// Clamps every element to `low..=high`.
///
/// # Errors
/// If `x` is not an activation.
pub fn clamp(context: &Context, x: &Array, low: f32, high: f32) -> Result<Array> {
    unary(context, "clamp", x, Activation::None, [low, high])
}

/// `e^x` of every element.
///
/// # Errors
/// If `x` is not an activation.
pub fn exp(context: &Context, x: &Array) -> Result<Array> {
    unary(context, "exp", x, Activation::None, [0.0; 2])
}

fn unary(context: &Context, op: &'static str, x: &Array, activation: Activation, [a, b]: [f32; 2]) -> Result<Array> {
    let y = Array::alloc(context, x.shape(), writable(context, activation_format(op, x)?)?)?;
    for run in pieces(context, x.elements(), &[x.bytes_of(1), y.bytes_of(1)]) {
        let x = x.part(run.start, run.len())?;
        let y = y.part(run.start, run.len())?;
        let width = width(&[run.len()]);
        let count = run.len() / width;
        let uniforms = [count as u32, a.to_bits(), b.to_bits()];
        let kernel = unary_kernel(op, activation, [x.format(), y.format()], width);
        Launch { kernel, inputs: &[&x], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
    }
    Ok(y)
}

pub(super) fn unary_kernel(op: &'static str, activation: Activation, formats: [Format; 2], width: usize) -> Kernel {
    let [x, y] = formats.map(Constant::Format);
    let function = ("FUNCTION", Constant::Name(op));
    let constants = vec![("X", x), ("Y", y), function, activation_constant(activation), width_constant(width)];
    Kernel { name: op, source: include_str!("../kernels/unary.wgsl"), constants }
}

/// `x * scale + sum(factor * term)`, for the steps of samplers. All shapes are equal.
///
/// # Errors
/// If a shape or format does not fit.
pub fn combine(context: &Context, x: &Array, scale: f32, terms: &[(f32, &Array)]) -> Result<Array> {
    const OP: &str = "combine";
    if let Some((_, other)) = terms.iter().find(|(_, other)| other.shape() != x.shape()) {
        return Err(other.shape_error(OP, format!("shape {:?}", x.shape())));
    }
    let mut sum = x.clone();
    let mut scale = scale;
    let mut rest = terms;
    loop {
        let (now, later) = rest.split_at(rest.len().min(3));
        let arrays: Vec<&Array> = std::iter::once(&sum).chain(now.iter().map(|(_, array)| *array)).collect();
        let y = Array::alloc(context, x.shape(), writable(context, activation_format(OP, x)?)?)?;
        let formats: Vec<Format> = arrays.iter().map(|array| array.format()).collect();
        for run in pieces(context, x.elements(), &[4]) {
            let parts = arrays.iter().map(|array| array.part(run.start, run.len())).collect::<Result<Vec<_>>>()?;
            let width = width(&[run.len()]);
            let count = run.len() / width;
            let mut uniforms = [0; 5];
            let scales = std::iter::once(scale).chain(now.iter().map(|(factor, _)| *factor));
            uniforms.iter_mut().zip(scales).for_each(|(word, scale)| *word = scale.to_bits());
            uniforms[4] = count as u32;
            let kernel = combine_kernel(&formats, y.format(), width);
            let inputs = parts.iter().collect::<Vec<_>>();
            let y = y.part(run.start, run.len())?;
            Launch { kernel, inputs: &inputs, outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
        }
        (sum, scale, rest) = (y, 1.0, later);
        if rest.is_empty() {
            return Ok(sum);
        }
    }
}

pub(super) fn combine_kernel(x: &[Format], y: Format, width: usize) -> Kernel {
    let names = ["X0", "X1", "X2", "X3"];
    let mut constants =
        vec![("Y", Constant::Format(y)), ("TERMS", Constant::U32(x.len() as u32)), width_constant(width)];
    constants.extend(names.into_iter().zip(x.iter().copied().map(Constant::Format)));
    Kernel { name: "combine", source: include_str!("../kernels/combine.wgsl"), constants }
}

/// GEGLU (<https://arxiv.org/abs/2002.05202>): `[.., 2 * width]` to `[.., width]`, `left * gelu(right)`.
///
/// # Errors
/// If the last axis is odd or `x` is not an activation.
pub fn geglu(context: &Context, x: &Array) -> Result<Array> {
    const OP: &str = "geglu";
    let mut shape = x.shape().to_vec();
    let half = match shape.last_mut() {
        Some(last) if *last % 2 == 0 && *last > 0 => {
            *last /= 2;
            *last
        }
        _ => return Err(x.shape_error(OP, "an even last axis")),
    };
    let y = Array::alloc(context, &shape, writable(context, activation_format(OP, x)?)?)?;
    let width = width(&[half]);
    for run in pieces(context, y.elements() / half, &[x.bytes_of(2 * half), y.bytes_of(half)]) {
        let x = x.part(run.start * 2 * half, run.len() * 2 * half)?;
        let y = y.part(run.start * half, run.len() * half)?;
        let count = y.elements() / width;
        let kernel = geglu_kernel([x.format(), y.format()], width);
        let uniforms = words([half / width, count]);
        Launch { kernel, inputs: &[&x], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
    }
    Ok(y)
}

pub(super) fn geglu_kernel(formats: [Format; 2], width: usize) -> Kernel {
    let [x, y] = formats.map(Constant::Format);
    let constants = vec![("X", x), ("Y", y), activation_constant(Activation::Gelu), width_constant(width)];
    Kernel { name: "geglu", source: include_str!("../kernels/geglu.wgsl"), constants }
}

/// Mean and standard deviation (with `n - 1`) of every picture `[n, ..]`, each shaped `[n, 1, ..]`.
///
/// # Errors
/// If a picture has fewer than two elements or `x` is not an activation.
pub fn mean_and_std(context: &Context, x: &Array) -> Result<(Array, Array)> {
    const OP: &str = "mean_and_std";
    let batch = x.shape().first().copied().unwrap_or(0);
    if batch == 0 || x.elements() / batch < 2 {
        return Err(x.shape_error(OP, "at least two elements per picture"));
    }
    let mut shape = vec![1; x.shape().len()];
    shape[0] = batch;
    let format = writable(context, activation_format(OP, x)?)?;
    let mean = Array::alloc(context, &shape, format)?;
    let std = Array::alloc(context, &shape, format)?;
    let kernel = moments_kernel([x.format(), format], context.capabilities());
    let uniforms = words([batch, x.elements() / batch]);
    let launch = Launch { kernel, inputs: &[x], outputs: &[&mean, &std], uniforms: &uniforms };
    launch.run(context, batch, x.elements() * 2)?;
    Ok((mean, std))
}

pub(super) fn moments_kernel(formats: [Format; 2], capabilities: &Capabilities) -> Kernel {
    let [x, y] = formats.map(Constant::Format);
    let constants = vec![("X", x), ("Y", y), threads(256), subgroups(capabilities)];
    Kernel { name: "mean_and_std", source: include_str!("../kernels/mean_and_std.wgsl"), constants }
}
