//! `embedding`: rows of a table by token id.

use super::host::View;
use super::{DType, Storage, Tensor};
use crate::{Error, Result};
use easel_cpu::Floats;

impl Tensor {
    /// Rows of `self` `[entries, width]` by `ids` `[..]` (type `U32`): `[.., width]` as `f32`.
    pub fn embedding(&self, ids: &Self) -> Result<Self> {
        const OP: &str = "embedding";
        let [entries, width] = self.dims(OP)?;
        if ids.dtype() != DType::U32 {
            return Err(ids.shape_error(OP, format!("ids of type U32, got {:?}", ids.dtype())));
        }
        let mut shape = ids.shape().to_vec();
        shape.push(width);
        match &self.storage {
            Storage::Cpu(table) => {
                let View::U32(ids) = ids.host(OP)?.view(OP)? else {
                    return Err(ids.shape_error(OP, "ids of type U32"));
                };
                let mut out = Floats::take(ids.len() * width);
                for (row, id) in out.chunks_exact_mut(width.max(1)).zip(ids) {
                    let id = *id as usize;
                    if id >= entries {
                        return Err(Error::Backend { op: OP, reason: format!("id {id} in a table of {entries} rows") });
                    }
                    row.copy_from_slice(&table.rows(id, 1).widened(OP)?);
                }
                Ok(Self::made(out, &shape))
            }
            Storage::Gpu(table) => table.embedding(ids),
            Storage::Candle(table) => table.embedding(ids),
            Storage::Outline(table) => Ok(table.embedding(&shape)),
        }
    }
}
