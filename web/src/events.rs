//! Reports from a run to the worker.

use bytes::Bytes;
use easel_inference::pipeline::{Progress, Watcher};
use easel_inference::weights::BoxFuture;
use easel_inference::{Error, Result};
use easel_web_common::reason;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The worker's object, whose methods are called during the run.
    pub type Events;

    /// `phase` is load, encode, denoise or decode; `step` of `of` units of it are done after `seconds`.
    #[wasm_bindgen(method)]
    fn progress(this: &Events, phase: &str, step: u32, of: u32, seconds: f64);

    /// Whether the page wants a preview now.
    #[wasm_bindgen(method, js_name = wantsPreview)]
    fn wants_preview(this: &Events) -> bool;

    /// A preview of the picture, with four bytes per pixel.
    #[wasm_bindgen(method)]
    fn preview(this: &Events, width: u32, height: u32, rgba: Uint8Array);

    /// A warning for the user.
    #[wasm_bindgen(method)]
    fn warning(this: &Events, message: &str);

    /// Seconds on any clock.
    #[wasm_bindgen(method)]
    fn clock(this: &Events) -> f64;

    /// A promise of T5's vocabulary, a `tokenizer.json`, as a `Uint8Array`.
    #[wasm_bindgen(method)]
    fn vocabulary(this: &Events) -> Promise;

    /// A promise that is resolved when the worker has handled its messages.
    #[wasm_bindgen(method)]
    fn pause(this: &Events) -> Promise;
}

impl Events {
    /// T5's vocabulary, which single files leave out. It lies beside the models of the page.
    pub(crate) async fn fetch_vocabulary(&self) -> Result<Bytes> {
        let failed = |thrown: JsValue| Error::Io { path: "the vocabulary of T5".into(), reason: reason(&thrown) };
        let bytes = JsFuture::from(self.vocabulary()).await.map_err(failed)?;
        Ok(Uint8Array::new(&bytes).to_vec().into())
    }
}

impl Watcher for Events {
    fn progress(&mut self, progress: &Progress) {
        let name = progress.phase.name();
        // Counts of steps and pictures, which are limited to thousands.
        Self::progress(self, name, progress.step as u32, progress.of as u32, progress.seconds);
        if let Some(image) = &progress.preview {
            let rgba: Vec<u8> = image.rgb8.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
            Self::preview(self, image.width as u32, image.height as u32, Uint8Array::from(&*rgba));
        }
    }

    fn wants_preview(&self) -> bool {
        Self::wants_preview(self)
    }

    fn warning(&mut self, message: &str) {
        Self::warning(self, message);
    }

    fn clock(&self) -> f64 {
        Self::clock(self)
    }

    fn pause(&mut self) -> BoxFuture<'_, ()> {
        let turn = Self::pause(self);
        Box::pin(async move {
            // A rejected promise also yields to the event loop.
            let _ = JsFuture::from(turn).await;
        })
    }
}
