//! CPU kernels for diffusion models on plain slices: channels-last, `f32` activations, weights in `f32`, `f16`, `bf16`, `Q8_0`.
//!
//! This crate knows slices and shapes. It knows no tensor type, no model and no file.
//! Callers check shapes and lengths before they come here; the kernels assert them.
//!
//! Each kernel is written once over a small vector trait and compiled for every [`Level`] of the platform; the level is
//! found at run time. No result depends on the number of threads or on the size of the batch.

#![allow(clippy::needless_range_loop, reason = "kernels loop over indices: see `simd`")]

pub mod activation;
pub mod attention;
pub mod conv2d;
pub mod elementwise;
mod gemm;
pub mod layout;
mod level;
pub mod linear;
mod math;
pub mod memory;
pub mod norm;
pub mod parallel;
mod q8;
mod simd;
mod weight;
mod winograd;

pub use activation::Activation;
pub use level::Level;
pub use memory::Floats;
pub use q8::BlockQ8_0;
pub use weight::{Matrix, PackedWeight, Weight};
