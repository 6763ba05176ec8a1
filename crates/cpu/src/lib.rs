//! CPU kernels for diffusion models on plain slices: channels-last, `f32` activations, weights in `f32`, `f16`, `bf16` and
//! GGUF's quantised blocks.
//!
//! This crate knows slices and shapes. It knows no tensor type, no model and no file.
//! Callers check shapes and lengths before they come here; the kernels assert them.
//!
//! No result depends on the number of threads or on the size of the batch.
//!
//! # Kernels
//!
//! Every kernel is written once over a small vector trait and compiled for each [`Level`]: plain Rust, AVX2, AVX-512,
//! AVX-512 with dot products, NEON, wasm simd128. The level is found at run time. Tests force the levels that are not the fastest. Those that a
//! machine lacks pass the conformance tests in emulators (`cargo xtask levels`): 64-bit Arm in QEMU, as part of all
//! tests where it is installed, and AVX-512 in Bochs.
//!
//! Convolutions gather patches block by block into a packed matrix product. 3x3 ones use Winograd's F(2x2, 3x3),
//! except for small pictures (the slower a level multiplies, the smaller). Attention keeps a running softmax over
//! blocks of keys. Kernels transformed for Winograd are not kept: they are 1.8 times as large in `f32` and 3.6 times
//! in `f16`. Making them takes a few percent of a product with a thousand pixels, and pays down to 16x16 (AVX2) or 8x8
//! (simd128).
//!
//! # Fewer bits
//!
//! Two kinds of products have fewer bits than `f32`; their sums are `f32`. Both are asked for when a weight is packed.
//! Products in bfloat16 (`PackedWeight::bf16`) read pairs along `k` as if they were single floats, so they share every loop
//! with `f32` products. `Level::prefers_bf16` multiplies for a millisecond to find out whether they pay: processors with
//! the same instruction differ. Quantised weights can be multiplied in integers (`PackedWeight::integers`, see `integers`),
//! with the input rounded to blocks of eight bits; packed by `PackedWeight::new`, they stay in their blocks, are widened
//! slice by slice while they are multiplied, and give the products of the floats that they stand for.
//!
//! # Threads
//!
//! Threads are rayon's (feature `threads`), natively and, with `wasm-threads`, in a page whose pool wasm-bindgen-rayon
//! has started. Without either, the same loops run on one thread. An op that is called from outside the pool is handed
//! over to it and waited for. A large layer does not feel that, but a small model does, so the pipeline enters the
//! pool once for a step of the denoiser and for a decoding.
//!
//! Built with `-C target-feature=+relaxed-simd`, the simd128 level fuses its multiply-adds: faster, and no longer the
//! same bits on every machine. `tests/small.rs` has the commands for Miri, AddressSanitizer and ThreadSanitizer.

#![allow(clippy::needless_range_loop, reason = "kernels loop over indices: see `simd`")]

pub mod activation;
pub mod attention;
mod blocks;
pub mod conv2d;
pub mod elementwise;
mod gemm;
mod integers;
pub mod layout;
mod level;
pub mod linear;
mod math;
pub mod memory;
pub mod needs;
pub mod norm;
pub mod parallel;
pub mod rope;
mod simd;
mod weight;
mod winograd;

pub use activation::Activation;
pub use blocks::BlockFormat;
pub use level::Level;
pub use memory::Floats;
pub use weight::{Matrix, PackedWeight, Weight};
