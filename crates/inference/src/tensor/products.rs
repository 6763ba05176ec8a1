//! The type of the processor's products: floats of 32 bits, or pairs of bfloat16 where it has dot products of them.

use super::{DType, Device};
use easel_cpu::Level;
use std::sync::LazyLock;
use std::time::Instant;

/// The type of both sides of a product with a weight on the processor; sums are `f32` always, and so is everything else.
/// Other devices have a type for all they compute ([`Device::float`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// `f32`: what diffusers computes, to rounding.
    #[default]
    F32,
    /// Weights and inputs rounded to bfloat16. Blocks of eight bits stay what they are.
    Bf16,
}

impl Products {
    /// bfloat16 where the processor is faster at it (AVX512-BF16) and the request does not name a type with more bits; else `f32`.
    pub fn automatic(device: &Device, dtype: Option<DType>) -> Self {
        let exact = matches!(dtype, Some(DType::F32 | DType::F16));
        // Read only where there is something to time: WebAssembly has no such clock.
        let start = LazyLock::new(Instant::now);
        let clock = || start.elapsed().as_secs_f64();
        let device = match device {
            Device::Outline(outline) => outline.stands_for(),
            device => device,
        };
        let fast = !exact && matches!(device, Device::Cpu) && Level::current().prefers_bf16(clock);
        if fast { Self::Bf16 } else { Self::F32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_chosen_where_it_is_fast_unless_the_request_names_more_bits() {
        for level in Level::available() {
            level.with(|| {
                let start = Instant::now();
                let fast = level.prefers_bf16(|| start.elapsed().as_secs_f64());
                let fast = if fast { Products::Bf16 } else { Products::F32 };
                for dtype in [None, Some(DType::Bf16), Some(DType::Q8_0)] {
                    assert_eq!(Products::automatic(&Device::Cpu, dtype), fast, "{level:?}");
                    #[cfg(feature = "candle")]
                    assert_eq!(Products::automatic(&Device::candle_cpu(), dtype), Products::F32);
                }
                for dtype in [DType::F32, DType::F16] {
                    assert_eq!(Products::automatic(&Device::Cpu, Some(dtype)), Products::F32, "{level:?}");
                }
            });
        }
    }
}
