//! `group_norm`, `layer_norm` and `rms_norm`.

use super::pieces::{aligned, pieces, runs};
use super::{Activation, Launch, activation_constant, activation_format, width, width_constant, words, writable};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Capabilities, Context, Result};

/// The most chunks of pixels for a picture's moments, and the fewest pixels of a chunk.
const MOST_CHUNKS: usize = 1024;
const SMALLEST_CHUNK: usize = 32;

/// Group norm over the last axis of `[n, .., c]` in `groups`, with weight and bias `[c]`, then the activation.
///
/// # Errors
/// If a shape or format does not fit.
pub fn group_norm(
    context: &Context,
    x: &Array,
    groups: usize,
    eps: f32,
    weight: &Array,
    bias: &Array,
    activation: Activation,
) -> Result<Array> {
    const OP: &str = "group_norm";
    let channels = *x.shape().last().unwrap_or(&0);
    let batch = *x.shape().first().unwrap_or(&0);
    let fits = groups > 0 && channels.is_multiple_of(groups) && x.elements() > 0;
    if !fits || weight.shape() != [channels] || bias.shape() != [channels] {
        let expected = format!("channels divisible by {groups} and weights of shape {:?}", weight.shape());
        return Err(x.shape_error(OP, expected));
    }
    let y = Array::alloc(context, x.shape(), writable(context, activation_format(OP, x)?)?)?;
    let pixels = x.elements() / batch / channels;
    let chunk = pixels.div_ceil(MOST_CHUNKS).max(SMALLEST_CHUNK);
    let chunks = pixels.div_ceil(chunk);
    let width = width(&[channels]);

    let moments = Array::alloc(context, &[2, batch, chunks, channels], Format::F32)?;
    let blocks = (channels / width).div_ceil(32);
    let pixel_bytes = x.bytes_of(channels);
    // The first pixel of a chunk, counted over the whole batch.
    let start = |at: usize| at / chunks * pixels + at % chunks * chunk;
    // Aligning the start of a binding adds up to 128 pixels.
    let room = context.capabilities().limits.storage_binding.saturating_sub(128 * pixel_bytes);
    for run in runs(batch * chunks, (room / (pixel_bytes * chunk as u64)) as usize) {
        let first_pixel = aligned(start(run.start), pixel_bytes);
        let end = if run.end == batch * chunks { batch * pixels } else { start(run.end) };
        let part = x.part(first_pixel * channels, (end - first_pixel) * channels)?;
        let [first, end] = [run.start, run.end].map(|at| at * blocks);
        let uniforms = words([pixels, channels, chunk, chunks, blocks, batch, first, end, first_pixel]);
        let kernel = moments_kernel(x.format(), width);
        let launch = Launch { kernel, inputs: &[&part], outputs: &[&moments], uniforms: &uniforms };
        launch.run(context, end - first, part.elements() * 2)?;
    }

    let folded = Array::alloc(context, &[batch, 2, channels], Format::F32)?;
    let mut uniforms = words([pixels, channels, chunk, chunks, batch, groups, 0]);
    uniforms[6] = eps.to_bits();
    let kernel = fold_kernel(weight.format(), context.capabilities());
    let launch = Launch { kernel, inputs: &[&moments, weight], outputs: &[&folded], uniforms: &uniforms };
    launch.run(context, batch * groups, moments.elements() * 2)?;

    for run in pieces(context, batch * pixels, &[pixel_bytes, y.bytes_of(channels)]) {
        let [x, y] = [x, &y].map(|array| array.part(run.start * channels, run.len() * channels));
        let x = x?;
        let y = y?;
        let count = x.elements() / width;
        let uniforms = words([channels / width, pixels, count, run.start * channels / width]);
        let kernel = apply_kernel([x.format(), bias.format(), y.format()], activation, width);
        Launch { kernel, inputs: &[&x, &folded, bias], outputs: &[&y], uniforms: &uniforms }
            .run_each(context, count)?;
    }
    Ok(y)
}

pub(super) fn moments_kernel(x: Format, width: usize) -> Kernel {
    let constants = vec![("X", Constant::Format(x)), width_constant(width)];
    Kernel { name: "group_norm_moments", source: include_str!("../kernels/group_norm_moments.wgsl"), constants }
}

pub(super) fn fold_kernel(weight: Format, capabilities: &Capabilities) -> Kernel {
    let constants = vec![("W", Constant::Format(weight)), threads(256), subgroups(capabilities)];
    Kernel { name: "group_norm_fold", source: include_str!("../kernels/group_norm_fold.wgsl"), constants }
}

/// The variant for `x`, bias and result in these formats.
pub(super) fn apply_kernel(formats: [Format; 3], activation: Activation, width: usize) -> Kernel {
    let [x, bias, y] = formats.map(Constant::Format);
    let constants = vec![("X", x), ("B", bias), ("Y", y), activation_constant(activation), width_constant(width)];
    Kernel { name: "group_norm", source: include_str!("../kernels/group_norm.wgsl"), constants }
}

/// The operations on a normalised row: `(row * weight + bias) * (1 + scale) + shift`. Missing parts are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerNorm<'a> {
    /// `[width]`.
    pub weight: Option<&'a Array>,
    /// `[width]`, in the weight's format.
    pub bias: Option<&'a Array>,
    /// Scale and shift, each `[n, width]` for `n` equal runs of rows, in one format.
    pub modulation: Option<(&'a Array, &'a Array)>,
}

/// Layer norm over the last axis.
///
/// # Errors
/// If a shape or format does not fit.
pub fn layer_norm(context: &Context, x: &Array, eps: f32, norm: LayerNorm<'_>) -> Result<Array> {
    rows("layer_norm", context, x, eps, norm)
}

/// Root-mean-square norm over the last axis, with an optional weight of that axis' size.
///
/// # Errors
/// If a shape or format does not fit.
pub fn rms_norm(context: &Context, x: &Array, eps: f32, weight: Option<&Array>) -> Result<Array> {
    rows("rms_norm", context, x, eps, LayerNorm { weight, ..LayerNorm::default() })
}

fn rows(op: &'static str, context: &Context, x: &Array, eps: f32, norm: LayerNorm<'_>) -> Result<Array> {
    let last = x.shape().last().copied().unwrap_or(0);
    if last == 0 || x.elements() == 0 {
        return Err(x.shape_error(op, "at least one element"));
    }
    let rows = x.elements() / last;
    let mut weights = Vec::new();
    for vector in [norm.weight, norm.bias].into_iter().flatten() {
        let format = norm.weight.or(norm.bias).map(Array::format);
        if vector.shape() != [last] || Some(vector.format()) != format {
            return Err(vector.shape_error(op, format!("weight and bias of shape [{last}] in one format")));
        }
        weights.push(vector);
    }
    let mut rows_per_batch = rows;
    if let Some((scale, shift)) = norm.modulation {
        let [batch, width] = scale.dims(op)?;
        let fits = batch > 0 && rows.is_multiple_of(batch) && width == last;
        if !fits || shift.shape() != scale.shape() || shift.format() != scale.format() {
            return Err(scale.shape_error(op, format!("scale and shift of shape [n, {last}] for {rows} rows")));
        }
        rows_per_batch = rows / batch;
        weights.extend([scale, shift]);
    }
    let y = Array::alloc(context, x.shape(), writable(context, activation_format(op, x)?)?)?;
    let variant = RowNorm {
        op,
        x: x.format(),
        y: y.format(),
        weight: norm.weight.map(Array::format),
        bias: norm.bias.map(Array::format),
        modulation: norm.modulation.map(|(scale, _)| scale.format()),
        width: width(&[last]),
        threads: if last <= 1024 { 64 } else { 256 },
    };
    let kernel = variant.kernel(context.capabilities());
    for run in pieces(context, rows, &[x.bytes_of(last), y.bytes_of(last)]) {
        let [x, y] = [x, &y].map(|array| array.part(run.start * last, run.len() * last));
        let x = x?;
        let y = y?;
        let mut uniforms = words([run.len(), last, 0, rows_per_batch, run.start]);
        uniforms[2] = eps.to_bits();
        let inputs = [&[&x], &weights[..]].concat();
        let launch = Launch { kernel: kernel.clone(), inputs: &inputs, outputs: &[&y], uniforms: &uniforms };
        launch.run(context, run.len(), x.elements() * 4)?;
    }
    Ok(y)
}

/// A variant of `layer_norm` or `rms_norm`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowNorm {
    pub(super) op: &'static str,
    pub(super) x: Format,
    pub(super) y: Format,
    pub(super) weight: Option<Format>,
    pub(super) bias: Option<Format>,
    pub(super) modulation: Option<Format>,
    pub(super) width: usize,
    pub(super) threads: u32,
}

impl RowNorm {
    pub(super) fn kernel(&self, capabilities: &Capabilities) -> Kernel {
        let mut constants = vec![
            ("X", Constant::Format(self.x)),
            ("Y", Constant::Format(self.y)),
            ("RMS", Constant::Bool(self.op == "rms_norm")),
            ("WEIGHT", Constant::Bool(self.weight.is_some())),
            ("BIAS", Constant::Bool(self.bias.is_some())),
            ("MODULATED", Constant::Bool(self.modulation.is_some())),
            width_constant(self.width),
            threads(self.threads),
            subgroups(capabilities),
        ];
        constants.extend(self.weight.or(self.bias).map(|format| ("W", Constant::Format(format))));
        constants.extend(self.modulation.map(|format| ("M", Constant::Format(format))));
        Kernel { name: self.op, source: include_str!("../kernels/layer_norm.wgsl"), constants }
    }
}

pub(super) fn threads(count: u32) -> (&'static str, Constant) {
    ("THREADS", Constant::U32(count))
}

/// Whether sums over a workgroup use subgroups.
pub(super) fn subgroups(capabilities: &Capabilities) -> (&'static str, Constant) {
    ("SUBGROUPS", Constant::Bool(capabilities.subgroups.is_some()))
}
