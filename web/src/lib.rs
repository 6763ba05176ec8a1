//! Easel in a web page: the inference crate behind wasm-bindgen, for a dedicated worker to call.
//!
//! The crate is thin. It turns a worker's blobs, options and callbacks into the inference crate's types and
//! back; caching, downloads and messages are the worker's. A model's bytes come from [`Blob`](web_sys::Blob)s, which
//! are local files, downloads and files of the origin private file system alike, and are read by range: no file is ever
//! whole in wasm memory.
//!
//! # The page around it
//!
//! A page talks to one dedicated worker, which alone has the module; every call has a number, and progress, previews
//! and errors come back under it. A dead worker is replaced and the model loaded again. The store
//! (`web/site/easel/store.js`) keeps models in shards with a SHA-256 each, which is checked before every use.
//! `Watcher::pause` is where the worker's event loop runs between two steps: without it no request to cancel would
//! arrive.
//!
//! There are two builds of the module. One has WebGPU and computes on one thread where there is no graphics device.
//! The other has threads, which need headers that not every server sends, and no WebGPU, since wgpu's handles may not
//! be shared between threads. `web/site/easel/backend.js` decides before a module is loaded: WebGPU if the adapter is
//! a real one, else the processor. A device that is lost again and again, cannot be opened anew, or is full ends the
//! worker, and so gives everything back.
//!
//! The scripts are modules without a build step: types are in comments and in `easel.d.ts`, and `tsc` checks them in
//! `cargo xtask e2e`. Building the site needs Rust alone; `wasm-bindgen` is a library that `xtask` calls, in the
//! locked version.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "what uses the rest is for wasm32 alone"))]

mod backend;
mod digest;
mod error;
// Blobs, promises and callbacks stay on the thread that has them, which only wasm32 allows a source and a watcher.
#[cfg(target_arch = "wasm32")]
mod events;
#[cfg(target_arch = "wasm32")]
mod files;
#[cfg(target_arch = "wasm32")]
mod model;
mod options;
mod service;
mod settings;

pub use digest::Digest;
#[cfg(target_arch = "wasm32")]
pub use events::{Cancel, Events};
#[cfg(target_arch = "wasm32")]
pub use model::{Drawn, Model};
#[cfg(target_arch = "wasm32")]
pub use service::{Answer, Engine, Report, Server};
pub use settings::read_settings;
/// Starts this many workers; resolved when all of them wait for work.
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
pub use wasm_bindgen_rayon::init_thread_pool;

use easel_inference::sampling::Scheduler;
use std::sync::Mutex;
use wasm_bindgen::prelude::*;

/// The message of the last panic.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the messages of panics: all that reaches JavaScript otherwise is that the instance stopped.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = PANIC.lock() {
            *last = Some(info.to_string());
        }
    }));
}

/// The message of the panic that stopped this instance. An instance that stopped without one was out of memory.
#[wasm_bindgen]
pub fn panicked() -> Option<String> {
    PANIC.lock().ok().and_then(|last| last.clone())
}

/// The names of all schedulers.
#[wasm_bindgen]
pub fn schedulers() -> Vec<String> {
    Scheduler::names()
}

/// The bytes of wasm memory in use. They only grow; a new worker starts from nothing.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return (core::arch::wasm32::memory_size::<0>() << 16) as f64;
    #[cfg(not(target_arch = "wasm32"))]
    0.0
}
