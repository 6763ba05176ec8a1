//! The header of a GGUF file, version 3.

use super::tensors::type_id;
use super::{ALIGNMENT, MAGIC};
use crate::weights::malformed::Malformed;
use crate::weights::view::StoredType;

/// A tensor of a file to be written.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: StoredType,
    /// The sizes of its axes, the slowest first; at most four. Rows must consist of whole blocks.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// The bytes of its data.
    pub fn bytes(&self) -> Option<u64> {
        let elements = self.shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64))?;
        self.dtype.bytes_of(elements)
    }

    /// The bytes from its start to the start of the next tensor.
    pub fn padded(&self) -> Option<u64> {
        self.bytes()?.checked_next_multiple_of(ALIGNMENT)
    }
}

/// The header of a file in whose data the tensors follow in this order, each [padded](TensorInfo::padded).
pub fn write_header(texts: &[(&str, &str)], tensors: &[TensorInfo]) -> Result<Vec<u8>, Malformed> {
    let mut header = Vec::new();
    header.extend(MAGIC);
    header.extend(3_u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((texts.len() as u64).to_le_bytes());
    for (key, value) in texts {
        text(&mut header, key);
        header.extend(8_u32.to_le_bytes());
        text(&mut header, value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        let problem = || Malformed(format!("tensor {} cannot be stored in a GGUF file: {tensor:?}", tensor.name));
        text(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|size| header.extend((*size as u64).to_le_bytes()));
        header.extend(type_id(tensor.dtype).ok_or_else(problem)?.to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = tensor.padded().and_then(|bytes| offset.checked_add(bytes)).ok_or_else(problem)?;
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    Ok(header)
}

fn text(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}
