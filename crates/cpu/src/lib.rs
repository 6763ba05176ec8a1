//! CPU kernels for diffusion models on plain slices: channels-last, `f32` activations, weights in `f32`, `f16` or `bf16`.
//!
//! This crate knows slices and shapes. It knows no tensor type, no model and no file.
//! Callers check shapes and lengths before they come here; the kernels assert them.

pub mod activation;
pub mod attention;
pub mod conv2d;
pub mod elementwise;
pub mod linear;
pub mod norm;
pub mod parallel;
mod simd;
mod weight;

pub use activation::Activation;
pub use weight::Weight;
