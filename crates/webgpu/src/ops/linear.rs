//! `linear`: a fully connected layer with its epilogue.

use super::layout::cast_rows;
use super::pieces::{pieces, runs};
use super::tile::Tile;
use super::{Activation, Launch, activation_constant, width, width_constant, words, writable};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Context, Error, Result};
use std::ops::Range;

/// The operations on a product before it is stored: `activation(product + bias + residual)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to the product; in the shape of the result.
    pub residual: Option<&'a Array>,
    /// Applied last.
    pub activation: Activation,
}

/// The most rows for the skinny kernel.
const SKINNY: usize = 8;

/// The fewest rows of halves for which blocks are widened once per product rather than in each tile.
const MANY: usize = 1024;

/// Bytes of halves that are widened at a time.
const WIDENED: u64 = 64 << 20;

/// `activation(x w^T + bias + residual)` with `x` `[.., in]` and bias `[out]`: `[.., out]`. The weight `[out, in]` may
/// be split into several parts along `out`, if it exceeds the binding limit.
///
/// # Errors
/// If a shape or format does not fit.
pub fn linear(
    context: &Context,
    x: &Array,
    weight: &[Array],
    bias: Option<&Array>,
    epilogue: Epilogue<'_>,
) -> Result<Array> {
    const OP: &str = "linear";
    let k = x.shape().last().copied().unwrap_or(0);
    if let Some(part) = weight.iter().find(|part| part.shape().len() != 2 || part.shape()[1] != k) {
        return Err(part.shape_error(OP, format!("a weight of shape [out, {k}]")));
    }
    let n = weight.iter().map(|part| part.shape()[0]).sum();
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = n;
    }
    if k == 0 || n == 0 || x.elements() == 0 {
        return Err(x.shape_error(OP, "at least one row and column"));
    }
    let m = x.elements() / k;
    let product = Product::new(OP, context, x, bias, epilogue, &shape, width(&[k]))?;
    let row_bytes =
        [x.bytes_of(k), product.y.bytes_of(n), epilogue.residual.map_or(0, |residual| residual.bytes_of(n))];
    for rows in pieces(context, m, &row_bytes) {
        let operand = x.part(rows.start * k, rows.len() * k)?;
        product.for_each_part(weight, &operand, &rows, |launch| {
            if rows.len() <= SKINNY { skinny(&product, launch) } else { tiled(&product, launch) }
        })?;
    }
    Ok(product.y)
}

/// The checked arguments and the result of `linear` and `conv2d`.
pub(super) struct Product<'a> {
    pub(super) context: &'a Context,
    pub(super) x: &'a Array,
    pub(super) bias: Option<&'a Array>,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) width: usize,
    pub(super) y: Array,
}

impl<'a> Product<'a> {
    pub(super) fn new(
        op: &'static str,
        context: &'a Context,
        x: &'a Array,
        bias: Option<&'a Array>,
        epilogue: Epilogue<'a>,
        shape: &[usize],
        width: usize,
    ) -> Result<Self> {
        let out = shape.last().copied().unwrap_or(0);
        if let Some(bias) = bias.filter(|bias| bias.shape() != [out]) {
            return Err(bias.shape_error(op, format!("a bias of shape [{out}]")));
        }
        if let Some(residual) = epilogue.residual.filter(|residual| residual.shape() != shape) {
            return Err(residual.shape_error(op, format!("a residual of shape {shape:?}")));
        }
        let format = writable(context, super::activation_format(op, x)?)?;
        let y = Array::alloc(context, shape, format)?;
        Ok(Self { context, x, bias, epilogue, width, y })
    }

    /// Calls `f` for each part of the weight, to compute these rows of the result from the left operand `x`.
    pub(super) fn for_each_part(
        &self,
        weight: &[Array],
        x: &Array,
        rows: &Range<usize>,
        mut f: impl FnMut(Part<'_>) -> Result<()>,
    ) -> Result<()> {
        let stride = self.stride();
        let of_rows = |array: &Array| array.part(rows.start * stride, rows.len() * stride);
        let y = of_rows(&self.y)?;
        let residual = self.epilogue.residual.map(of_rows).transpose()?;
        let mut column = 0;
        for part in weight {
            if part.format() == Format::U32 || part.format() == Format::U16 {
                let expected = format!("a weight of floats, not {:?},", part.format());
                return Err(part.shape_error("product", expected));
            }
            for slice in self.slices(part, rows.len()) {
                let widened = match &slice {
                    Some(slice) => Some(cast_rows(self.context, part, slice.clone(), Format::F16)?),
                    None => None,
                };
                let weight = widened.as_ref().unwrap_or(part);
                let mut inputs = vec![x, weight];
                inputs.extend(self.bias);
                inputs.extend(&residual);
                f(Part { inputs: &inputs, y: &y, weight, column, rows: rows.len() })?;
                column += weight.shape()[0];
            }
        }
        Ok(())
    }

    /// How many rows of a weight to widen to halves at a time before the product, or `None` to use the stored weight.
    /// With `f32` activations blocks are never rounded.
    fn slices(&self, weight: &Array, rows: usize) -> Vec<Option<Range<usize>>> {
        let widens = matches!(weight.format(), Format::Blocks(_)) && self.x.format() == Format::F16 && rows >= MANY;
        if !widens {
            return vec![None];
        }
        let height = weight.shape()[0];
        let row = (2 * weight.elements() / height.max(1)).max(1) as u64;
        let most = WIDENED.min(self.context.capabilities().limits.storage_binding) / row;
        runs(height, most as usize).into_iter().map(Some).collect()
    }

    /// Columns of the whole result.
    pub(super) fn stride(&self) -> usize {
        self.y.shape().last().copied().unwrap_or(0)
    }

    /// The variant for these arguments and a weight of this format.
    pub(super) fn formats(&self, weight: &Array) -> Formats {
        Formats {
            x: self.x.format(),
            weight: weight.format(),
            bias: self.bias.map(Array::format),
            residual: self.epilogue.residual.map(Array::format),
            y: self.y.format(),
            activation: self.epilogue.activation,
            width: self.width,
        }
    }
}

/// A run of rows and a part of the columns of a product.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) inputs: &'a [&'a Array],
    pub(super) y: &'a Array,
    pub(super) weight: &'a Array,
    /// The first column.
    pub(super) column: usize,
    pub(super) rows: usize,
}

/// The parameters of a product's variants besides the tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Formats {
    pub(super) x: Format,
    pub(super) weight: Format,
    pub(super) bias: Option<Format>,
    pub(super) residual: Option<Format>,
    pub(super) y: Format,
    pub(super) activation: Activation,
    pub(super) width: usize,
}

impl Formats {
    pub(super) fn constants(&self) -> Vec<(&'static str, Constant)> {
        let mut constants = vec![
            ("X", Constant::Format(self.x)),
            ("W", Constant::Format(self.weight)),
            ("Y", Constant::Format(self.y)),
            activation_constant(self.activation),
            width_constant(self.width),
        ];
        for (flag, name, format) in [("BIAS", "B", self.bias), ("RESIDUAL", "R", self.residual)] {
            if let Some(format) = format {
                constants.extend([(flag, Constant::Bool(true)), (name, Constant::Format(format))]);
            }
        }
        constants
    }
}

pub(super) fn tiled_kernel(formats: Formats, tile: Tile) -> Kernel {
    let mut constants = formats.constants();
    constants.extend(tile.constants());
    Kernel { name: "linear", source: include_str!("../kernels/linear.wgsl"), constants }
}

pub(super) fn skinny_kernel(formats: Formats, rows: usize) -> Kernel {
    let mut constants = formats.constants();
    constants.push(("ROWS", Constant::U32(rows as u32)));
    Kernel { name: "linear_skinny", source: include_str!("../kernels/linear_skinny.wgsl"), constants }
}

fn tiled(product: &Product<'_>, part: Part<'_>) -> Result<()> {
    let Part { inputs, y, weight, column, rows: m } = part;
    let [n, k] = weight.dims("linear")?;
    let tile = Tile::choose(product.context.capabilities(), product.formats(weight), m, n);
    let [tiles_m, tiles_n] = tile.count(m, n);
    tile.cover(product.context, [m, n, k], |first, count, work| {
        let uniforms = words([m, n, k, product.stride(), column, tile.steps(k), tiles_m, tiles_n, first]);
        let kernel = tiled_kernel(product.formats(weight), tile);
        Launch { kernel, inputs, outputs: &[y], uniforms: &uniforms }.run(product.context, count, work)
    })
}

fn skinny(product: &Product<'_>, part: Part<'_>) -> Result<()> {
    let Part { inputs, y, weight, column, rows: m } = part;
    let [n, k] = weight.dims("linear")?;
    let kernel = skinny_kernel(product.formats(weight), m.next_power_of_two());
    let uniforms = words([m, n, k, product.stride(), column]);
    let launch = Launch { kernel, inputs, outputs: &[y], uniforms: &uniforms };
    launch.run(product.context, n.div_ceil(8), m * n * k)
}

/// Checks that a weight has at least one part.
pub(super) fn first_part<'a>(op: &'static str, weight: &'a [Array]) -> Result<&'a Array> {
    weight.first().ok_or_else(|| Error::Shape { op, expected: "a weight of at least one part".into(), got: Vec::new() })
}
