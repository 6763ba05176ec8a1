//! WebGPU kernels for diffusion models and their runtime on wgpu, in the browser and natively.
//!
//! This crate knows buffers and shapes. It knows no model and no file.
//!
//! A [`Context`] is one open device. Work is recorded: [`Context::dispatch`] and [`Context::copy`] return at once, and
//! their commands are submitted in pieces short enough for every watchdog. Only opening a device and
//! reading a buffer back wait for anything. A part that runs many times is captured into a [`Plan`] and replayed.
//!
//! An [`Array`] is a buffer with a shape and a format, and [`ops`] computes with arrays; [`shader`] holds what their
//! kernels are written in.
//!
//! All handles are `Send` and `Sync`. In a browser wgpu's are so only because a page without shared memory has a single
//! thread (wgpu's feature `fragile-send-sync-non-atomic-wasm`); a build with wasm atomics does not compile.

mod adapter;
mod array;
mod buffer;
mod capabilities;
mod context;
mod error;
mod faults;
mod memory;
pub mod ops;
mod pacing;
mod pipeline;
mod plan;
mod pool;
mod profile;
mod readback;
mod recorder;
pub mod shader;
mod stream;
#[cfg(target_arch = "wasm32")]
mod web;

pub use adapter::{Choice, Options, adapters};
pub use array::Array;
pub use buffer::Buffer;
pub use capabilities::{Adapter, Capabilities, Cooperative, Dialect, Kind, Limits, Scalar};
pub use context::{Context, Stats};
pub use error::Error;
pub use plan::Plan;
pub use pool::Memory;
pub use profile::{Profile, Row};
pub use readback::Reading;
pub use recorder::Dispatch;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;
