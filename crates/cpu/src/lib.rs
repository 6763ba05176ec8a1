//! CPU kernels for diffusion models on plain slices: channels-last, `f32` activations, weights in `f32`, `f16`, `bf16` and
//! GGUF's quantised blocks.
//!
//! This crate only knows slices and shapes, no tensors, models or files. Callers check shapes and lengths; the kernels
//! assert them.
//!
//! No result depends on the number of threads or on the size of the batch.
//!
//! # Kernels
//!
//! Every kernel is written once over a small vector trait and compiled for each [`Level`]: plain Rust, AVX2, AVX-512,
//! AVX-512 with dot products, NEON, wasm simd128. The level is detected at run time, and tests force each of them.
//! Levels that a machine lacks are tested in emulators (`cargo xtask levels`): 64-bit Arm in QEMU, which is part of all
//! tests if it is installed, and AVX-512 in Bochs.
//!
//! Convolutions are matrix products that gather patches block by block. 3x3 convolutions use Winograd's F(2x2, 3x3),
//! except for small pictures; the slower a level multiplies, the smaller the limit. Attention keeps a running softmax
//! over blocks of keys. Kernels transformed for Winograd are not stored, because they are 1.8 times as large in `f32`
//! and 3.6 times in `f16`. Transforming them takes a few percent of a product with a thousand pixels, and is worthwhile
//! down to 16x16 (AVX2) or 8x8 (simd128).
//!
//! # Lower precision
//!
//! Two kinds of products have lower precision than `f32`, with `f32` sums. Both are chosen when a weight is packed.
//! Products in bfloat16 (`PackedWeight::bf16`) read pairs along `k` as if they were single floats, so they share every
//! loop with `f32` products. `Level::prefers_bf16` measures for a millisecond whether they are faster, because
//! processors with the same instructions differ. Quantised weights can be multiplied in integers
//! (`PackedWeight::integers`, see `integers`), with the input rounded to blocks of eight bits. Packed by
//! `PackedWeight::new`, they stay quantised in memory, are widened slice by slice during the product, and give the
//! exact products of the widened weights.
//!
//! # Threads
//!
//! Threads are rayon's (feature `threads`), natively and, with `wasm-threads`, in a page, whose scripts
//! start them. Without either, the same loops run on one thread. An op that is called from outside the pool is handed
//! over to it, which takes time. That is irrelevant for large layers but not for small models, so the pipeline enters
//! the pool once per denoiser step and per decoding.
//!
//! Built with `-C target-feature=+relaxed-simd`, the simd128 level fuses its multiply-adds, which is faster, but the
//! bits then differ between machines. `tests/small.rs` has the commands for Miri, AddressSanitizer and ThreadSanitizer.

#![allow(clippy::needless_range_loop, reason = "kernels loop over indices: see `simd`")]

pub mod activation;
pub mod attention;
mod blocks;
pub mod conv2d;
pub mod depthwise;
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
