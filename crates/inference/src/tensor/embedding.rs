//! `embedding`: rows of a table by token id.

use super::{DType, Tensor, backend};
use crate::Result;

impl Tensor {
    /// Rows of `self` `[entries, width]` by `ids` `[..]` (type `U32`): `[.., width]` as `f32`.
    pub fn embedding(&self, ids: &Self) -> Result<Self> {
        const OP: &str = "embedding";
        let [_, width] = self.dims(OP)?;
        if ids.dtype() != DType::U32 {
            return Err(ids.shape_error(OP, format!("ids of type U32, not {:?}", ids.dtype())));
        }
        let mut shape = ids.shape().to_vec();
        shape.push(width);
        let flat = ids.candle().flatten_all().map_err(backend(OP))?;
        self.map(OP, |table| table.index_select(&flat, 0)?.to_dtype(candle_core::DType::F32)?.reshape(shape.as_slice()))
    }
}
