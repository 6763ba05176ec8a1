//! `is_finite`: whether all elements are finite.

use super::Tensor;
use crate::Result;

impl Tensor {
    /// Whether no element is NaN or infinite. Only for tensors in host memory, such as results that were read back.
    pub fn is_finite(&self) -> Result<bool> {
        Ok(self.host("is_finite")?.widened("is_finite")?.iter().all(|x| x.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use crate::{DType, Device, Tensor};

    #[test]
    fn one_bad_number_is_enough() {
        for (bad, dtype) in [(f32::NAN, DType::F32), (f32::NEG_INFINITY, DType::F32), (1e6, DType::F16)] {
            let of = |x: f32| Tensor::from_vec(vec![0.0, -2.0, x], &[3], &Device::Cpu).unwrap().cast(dtype).unwrap();
            assert!(of(1.0).is_finite().unwrap());
            assert!(!of(bad).is_finite().unwrap());
        }
    }
}
