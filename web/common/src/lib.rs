//! What the modules of a page's workers have in common: model files in `Blob`s, devices, errors for JavaScript, digests of
//! downloads, cancellation, and threads. A module that depends on it exports what is exported here.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "what uses the rest is for wasm32 alone"))]

mod backend;
mod cancel;
mod digest;
mod error;
// Blobs stay on their thread; only on wasm32 may sources contain them.
#[cfg(target_arch = "wasm32")]
mod files;
mod memory;
mod options;
mod panic;
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
mod threads;

pub use backend::Backend;
pub use cancel::Cancel;
pub use digest::Digest;
pub use error::{reason, to_js};
#[cfg(target_arch = "wasm32")]
pub use files::files;
pub use memory::{gpu_bytes, memory_bytes};
pub use options::read;
pub use panic::{panicked, start};
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
pub use threads::{run_thread, shared_memory, shared_module, start_threads};
