//! `embedding`: rows of a table by id.

use super::linear::first_part;
use super::{Launch, width, width_constant, words, writable};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Context, Result};

/// Rows of a table `[entries, width]` by `ids` `[..]` (`U32`): `[.., width]` in `format`. The table may be split into
/// several parts along its entries, if it exceeds the binding limit. An id outside the table gives zeros.
///
/// # Errors
/// If a shape or format does not fit.
pub fn embedding(context: &Context, table: &[Array], ids: &Array, format: Format) -> Result<Array> {
    const OP: &str = "embedding";
    let [_, row] = first_part(OP, table)?.dims(OP)?;
    if let Some(part) = table.iter().find(|part| part.shape().len() != 2 || part.shape()[1] != row) {
        return Err(part.shape_error(OP, format!("a table of shape [entries, {row}]")));
    }
    if ids.format() != Format::U32 {
        return Err(ids.shape_error(OP, format!("ids in U32, not {:?},", ids.format())));
    }
    if !matches!(format, Format::F32 | Format::F16) {
        return Err(ids.shape_error(OP, format!("a result in F32 or F16, not {format:?},")));
    }
    let mut shape = ids.shape().to_vec();
    shape.push(row);
    let y = Array::alloc(context, &shape, writable(context, format)?)?;
    let width = width(&[row]);
    let count = y.elements() / width;
    let total = table.iter().map(|part| part.shape()[0]).sum();
    let mut first = 0;
    for part in table {
        let entries = part.shape()[0];
        let uniforms = words([row / width, first, entries, total, count]);
        let kernel = kernel([part.format(), format], width);
        Launch { kernel, inputs: &[part, ids], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
        first += entries;
    }
    Ok(y)
}

pub(super) fn kernel(formats: [Format; 2], width: usize) -> Kernel {
    let [table, y] = formats.map(Constant::Format);
    let constants = vec![("T", table), ("Y", y), width_constant(width)];
    Kernel { name: "embedding", source: include_str!("../kernels/embedding.wgsl"), constants }
}
