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
//!
//! # Kernels
//!
//! An op checks shapes, chooses a variant of its WGSL kernel by shape and adapter, and records a dispatch. Variants
//! are made from one `.wgsl` file per op by constants and line conditions (`shader/template.rs`), and naga checks
//! every one of them without a GPU. Kernels are compiled without wgpu's run-time checks: their text is ours, their
//! loops end, and their indices hold for the shapes that the ops have checked.
//!
//! Weights in GGUF's blocks stay in their bits. When one is uploaded, a kernel repacks the blocks into words (`ops::repack`,
//! `shader/blocks.rs`); every kernel that reads a weight reads it four numbers at a time, whatever its format, and the
//! blocks are widened there. A product does so on the way to workgroup memory, again for every tile. For 1024 rows of
//! halves and more, where that would be often, the weight is widened to halves before, at most 64 MiB at a time.
//!
//! Activations come from a pool; weights lie in buffers of their own size. A weight over the binding limit is several
//! arrays, cut along its first axis. An activation over the limit is one buffer that the ops bind in pieces: rows, or
//! blocks of a copy. Only what a kernel has to see whole stays bounded: the keys of one batch entry, and a picture's
//! `mean_and_std`.
//!
//! # Runtime
//!
//! Commands are submitted when 64 dispatches or about a tenth of a second of stated work have come together (the
//! device's speed is learned from the submits), or when something is written, read or flushed. Because commands keep
//! their order, memory goes back to the pool as soon as its handle is dropped, even while the GPU still uses it.
//! Weights lie outside the pool (`resident`), so dropping a component frees its memory at once.
//!
//! A [`Plan`] holds resolved pipelines, bind groups and one buffer of uniforms. Memory that its ops allocate belongs
//! to the plan, is reused only inside it and keeps its address; that makes a replay possible without allocation or
//! bind groups. Profiling is a replay with a timestamp before and after every dispatch.
//!
//! # Errors and loss
//!
//! Natively an error shows in the call that made it. In a browser errors come later, and the next call on the context
//! returns them. After a loss every call and every wait fails with the reason, and `reopen` makes a fresh context. A
//! browser rejects a map some milliseconds before it tells of the loss that caused it, so a failed map waits for that
//! (`faults.rs`).
//!
//! wgpu 30 cannot ask a browser for subgroups: `web.rs` stands between it and `requestDevice` for that one call.

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
