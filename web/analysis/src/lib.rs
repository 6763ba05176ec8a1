//! What is in a picture, and where, in a web page: SAM and CLIP of the inference crate behind wasm-bindgen.
//!
//! It is a module of its own, in the same two builds as the one that draws: few visits need it, and its memory is freed with
//! the worker that has it. `web/site/easel/analysis-worker.js` calls it.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "what uses the rest is for wasm32 alone"))]

#[cfg(target_arch = "wasm32")]
mod classifier;
#[cfg(target_arch = "wasm32")]
mod events;
mod outline;
mod prompt;
#[cfg(target_arch = "wasm32")]
mod segmenter;

#[cfg(target_arch = "wasm32")]
pub use classifier::Classifier;
pub use easel_web_common::{Cancel, Digest, memory_bytes, panicked, start};
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
pub use easel_web_common::{run_thread, shared_memory, shared_module, start_threads};
#[cfg(target_arch = "wasm32")]
pub use events::Events;
pub use outline::polygons;
#[cfg(target_arch = "wasm32")]
pub use segmenter::{Embedded, Segment, Segmenter};

use easel_inference::{Error, Result};
use easel_picture::{Image, Limits};
use serde::Deserialize;

/// How a model is loaded.
#[derive(Debug, Deserialize)]
struct Load {
    /// Its name in messages.
    name: String,
    /// wasm or webgpu.
    backend: String,
}

/// The pixels of a PNG, JPEG or WebP file.
fn decode(file: &[u8]) -> Result<Image> {
    Image::decode(file, &Limits::default()).map_err(|error| Error::invalid("image", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_refused() {
        for bytes in [&b"%PDF-1.7"[..], b"", b"\x89PNG\r\n\x1a\n"] {
            let refused = decode(bytes).unwrap_err().to_string();
            assert!(refused.starts_with("image: "), "{refused}");
        }
    }
}
