//! Easel in a web page: the inference crate behind wasm-bindgen, for a dedicated worker to call.
//!
//! The crate is thin. It converts between a worker's blobs, options and callbacks and the inference crate's types;
//! caching, downloads and messages are the worker's job. A model's bytes come from `Blob`s (local
//! files, downloads or files of the origin private file system), which are read by range, so no file is ever in wasm
//! memory as a whole.
//!
//! # The page around it
//!
//! A page talks to one dedicated worker, which owns the module. Every call has a number, under which progress, previews
//! and errors are returned. A dead worker is replaced and its model loaded again. The store (`web/site/easel/store.js`)
//! keeps models in shards with a SHA-256 each, which is checked before every use. In `Watcher::pause` the worker's
//! event loop runs between two steps; otherwise no cancellation would arrive.
//!
//! There are two builds of the module. One has WebGPU, and computes on one thread if there is no graphics device. The
//! other has threads, which need headers that not every server sends, but no WebGPU, because wgpu's handles cannot be
//! shared between threads. `web/site/easel/backend.js` chooses before a module is loaded: WebGPU if the adapter is a
//! hardware one, otherwise the processor. If a device is lost repeatedly, cannot be reopened, or runs out of memory,
//! the worker ends, which releases everything. The HTTP interface is a third module,
//! `web/interface`.
//!
//! The scripts are modules without a build step: types are in comments and in `easel.d.ts`, and `tsc` checks them in
//! `cargo xtask e2e`. Building the site only needs Rust; `wasm-bindgen` is a library that `xtask` calls, in the locked
//! version.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "what uses the rest is for wasm32 alone"))]

// Promises and callbacks stay on their thread; only on wasm32 may watchers contain them.
#[cfg(target_arch = "wasm32")]
mod events;
#[cfg(target_arch = "wasm32")]
mod model;
mod options;
mod settings;

pub use easel_web_common::{Cancel, Digest, memory_bytes, panicked, start};
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
pub use easel_web_common::{run_thread, shared_memory, shared_module, start_threads};
#[cfg(target_arch = "wasm32")]
pub use events::Events;
#[cfg(target_arch = "wasm32")]
pub use model::{Drawn, Model};
pub use settings::read_settings;

use easel_inference::sampling::Scheduler;
use wasm_bindgen::prelude::*;

/// The names of all schedulers.
#[wasm_bindgen]
pub fn schedulers() -> Vec<String> {
    Scheduler::names()
}

/// Provides the vocabulary of models that bring none: the bytes of `clip-merges.zlib`, before the first of them is loaded.
#[wasm_bindgen(js_name = provideClipVocabulary)]
pub fn provide_clip_vocabulary(packed: Vec<u8>) {
    easel_inference::text::provide_clip_vocabulary(packed);
}

/// The samplers for pictures, for lists of the HTTP interface: objects with `name`, `label` and `respaces`.
#[wasm_bindgen]
pub fn samplers() -> Result<JsValue, JsValue> {
    serde_wasm_bindgen::to_value(&Scheduler::samplers()).map_err(Into::into)
}
