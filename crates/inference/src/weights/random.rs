//! Random weights of any name and shape: whole architectures without files, for benchmarks and tests.

use crate::{DType, Device, Result, Tensor};

/// Generates tensors on demand, the same ones for the same names in every run.
pub(super) struct RandomTensors {
    pub(super) dtype: DType,
    pub(super) device: Device,
}

impl RandomTensors {
    /// A tensor that keeps activations near unit size: matrices and kernels are uniform with variance `1 / fan_in`,
    /// where `fan_in` is the product of all axes but the first; with one axis, weights are ones and biases zeros.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if let Device::Outline(device) = &self.device {
            return Ok(Tensor::outlined(self.dtype.of_weight(shape, DType::F16).on(&self.device), shape, device));
        }
        let length = shape.iter().product();
        let data = match shape {
            [_, rest @ ..] if !rest.is_empty() => {
                let fan_in: usize = rest.iter().product();
                uniform(name, length, (3.0 / fan_in.max(1) as f32).sqrt())
            }
            _ => vec![if name.ends_with("weight") { 1.0 } else { 0.0 }; length],
        };
        let dtype = self.dtype.of_weight(shape, DType::F16);
        Tensor::from_vec(data, shape, &Device::Cpu)?.cast(dtype)?.to_device(&self.device)
    }
}

/// Numbers from `-bound..bound` by a linear congruential generator (Knuth's MMIX constants) seeded with the name.
fn uniform(name: &str, length: usize, bound: f32) -> Vec<f32> {
    let start = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut state = start;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * bound
    };
    (0..length).map(|_| next()).collect()
}
