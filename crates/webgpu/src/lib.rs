//! WebGPU kernels for diffusion models and their runtime on wgpu, in the browser and natively.
//!
//! This crate only knows buffers and shapes, no models or files.
//!
//! A [`Context`] is one open device. Work is recorded: [`Context::dispatch`] and [`Context::copy`] return at once, and
//! their commands are submitted in pieces that are short enough for watchdogs. Only opening a device and reading a
//! buffer back wait. A part that runs repeatedly is captured into a [`Plan`] and replayed.
//!
//! An [`Array`] is a buffer with a shape and a format, and [`ops`] computes with arrays. [`shader`] has the template
//! language of the kernels.
//!
//! All handles are `Send` and `Sync`. In a browser this relies on a page without shared memory having a single thread
//! (wgpu's feature `fragile-send-sync-non-atomic-wasm`); a build with wasm atomics does not compile.
//!
//! # Kernels
//!
//! An op checks shapes, chooses a variant of its WGSL kernel by shape and adapter, and records a dispatch. Variants are
//! generated from one `.wgsl` file per op by constants and conditional lines (`shader/template.rs`), and naga checks
//! all of them without a GPU. Kernels are compiled without wgpu's run-time checks: they are part of this crate, their
//! loops terminate, and their indices are in bounds for the shapes that the ops have checked.
//!
//! Weights in GGUF's blocks stay quantised. On upload, a kernel repacks the blocks into words (`ops::repack`,
//! `shader/blocks.rs`). Every kernel that reads a weight reads four numbers at a time in any format, and widens blocks
//! there. A product does that while loading workgroup memory, again for every tile. For 1024 and more rows of halves,
//! where this would be repeated often, the weight is widened to halves first, at most 64 MiB at a time.
//!
//! Activations come from a pool; weights have buffers of exactly their size. A weight above the binding limit is split
//! into several arrays along its first axis. An activation above the limit is one buffer that the ops bind in pieces:
//! rows, or blocks of a copy. Only data that a kernel has to bind as a whole remains limited: the keys of one batch
//! entry, and a picture's `mean_and_std`.
//!
//! # Runtime
//!
//! Commands are submitted after 64 dispatches, after about a tenth of a second of declared work (the device's speed is
//! measured from the submits), or when something is written, read or flushed. Because commands run in order, memory
//! returns to the pool as soon as its handle is dropped, even while the GPU still uses it. Weights are outside the pool
//! (`resident`), so dropping a component frees its memory at once.
//!
//! A [`Plan`] holds resolved pipelines, bind groups and one buffer of uniforms. Memory that its ops allocate belongs to
//! the plan, is only reused inside it and keeps its address, so a replay needs no allocations or bind groups. Profiling
//! is a replay with a timestamp before and after every dispatch.
//!
//! # Errors and loss
//!
//! Natively a call returns its own error. In a browser errors arrive later, and the next call on the context returns
//! them. After a loss every call and every wait fails with the reason, and `reopen` opens a new context. A browser
//! rejects a map some milliseconds before it reports the loss that caused it, so a failed map waits for the report
//! (`faults.rs`).
//!
//! wgpu 30 cannot request subgroups from a browser, so `web.rs` wraps `requestDevice` for that one call.

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
pub use pool::{Memory, allocated};
pub use profile::{Profile, Row};
pub use readback::Reading;
pub use recorder::Dispatch;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
