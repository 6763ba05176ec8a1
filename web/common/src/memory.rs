//! The memory that a module takes.

use easel_inference::Device;
use wasm_bindgen::prelude::*;

/// The bytes of wasm memory in use, which only grow. A new worker starts at zero.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return (core::arch::wasm32::memory_size::<0>() << 16) as f64;
    #[cfg(not(target_arch = "wasm32"))]
    0.0
}

/// Bytes of graphics memory in use.
pub fn gpu_bytes(device: &Device) -> f64 {
    match device {
        #[cfg(feature = "webgpu")]
        Device::Gpu(gpu) => gpu.context().stats().memory.allocated as f64,
        _ => 0.0,
    }
}
