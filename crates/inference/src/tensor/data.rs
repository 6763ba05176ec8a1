//! `Data`: the elements of a tensor in host memory, for upload to a device.

use super::{BlockFormat, DType, Device, Tensor, check_length};
use crate::Result;
use half::{bf16, f16};

// Files are little-endian and their bytes are copied unchanged.
const _: () = assert!(cfg!(target_endian = "little"), "Easel runs on little-endian machines only");

/// The elements of a tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
    /// Token ids.
    U32(Vec<u32>),
    /// Whole blocks of quantised weights.
    Blocks(BlockFormat, Vec<u8>),
}

impl Data {
    /// `length` zeros (in whole blocks), in memory that is not touched before it is written.
    pub fn zeros(dtype: DType, length: usize) -> Self {
        match dtype {
            DType::F32 => Self::F32(bytemuck::zeroed_vec(length)),
            DType::F16 => Self::F16(bytemuck::zeroed_vec(length)),
            DType::Bf16 => Self::Bf16(bytemuck::zeroed_vec(length)),
            DType::U32 => Self::U32(bytemuck::zeroed_vec(length)),
            DType::Blocks(format) => {
                Self::Blocks(format, bytemuck::zeroed_vec(length / format.length() * format.bytes()))
            }
        }
    }

    /// A copy of little-endian bytes. Bytes after the last whole element are ignored.
    pub fn from_bytes(bytes: &[u8], dtype: DType) -> Self {
        let bytes = &bytes[..bytes.len() - bytes.len() % dtype.size()];
        match dtype {
            DType::F32 => Self::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::F16 => Self::F16(bytemuck::pod_collect_to_vec(bytes)),
            DType::Bf16 => Self::Bf16(bytemuck::pod_collect_to_vec(bytes)),
            DType::U32 => Self::U32(bytemuck::pod_collect_to_vec(bytes)),
            DType::Blocks(format) => Self::Blocks(format, bytes.to_vec()),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::Bf16(_) => DType::Bf16,
            Self::U32(_) => DType::U32,
            Self::Blocks(format, _) => DType::Blocks(*format),
        }
    }

    /// The elements as little-endian bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::F32(data) => bytemuck::cast_slice(data),
            Self::F16(data) => bytemuck::cast_slice(data),
            Self::Bf16(data) => bytemuck::cast_slice(data),
            Self::U32(data) => bytemuck::cast_slice(data),
            Self::Blocks(_, data) => data,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::Bf16(data) => data.len(),
            Self::U32(data) => data.len(),
            Self::Blocks(format, data) => data.len() / format.bytes() * format.length(),
        }
    }
}

impl Tensor {
    /// A tensor with this data. On the CPU the tensor takes over its memory.
    pub fn from_data(data: Data, shape: &[usize], device: &Device) -> Result<Self> {
        check_length("from_data", data.len(), shape)?;
        Self::upload(data, shape, device, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_at_any_alignment() {
        let bytes: Vec<u8> = [0_u8].into_iter().chain([1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes())).collect();
        assert_eq!(Data::from_bytes(&bytes[1..], DType::F32), Data::F32(vec![1.5, -2.0]));
        assert_eq!(Data::from_bytes(&[0, 0x3c, 9], DType::F16), Data::F16(vec![f16::ONE]));
        assert_eq!(Data::zeros(DType::Bf16, 2), Data::Bf16(vec![bf16::ZERO; 2]));
    }

    #[test]
    fn the_shape_must_fit() {
        let error = Tensor::from_data(Data::U32(vec![1, 2, 3]), &[2, 2], &Device::Cpu).unwrap_err();
        assert_eq!(error.to_string(), "from_data: expected a shape of 3 elements, got shape [2, 2]");
    }
}
