//! What a run reports to the worker, and how the worker stops it.

use easel_inference::pipeline::{CancelToken, Progress, Watcher};
use easel_inference::weights::BoxFuture;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The object that the worker hands in; its methods are called as the run goes on.
    pub type Events;

    /// `phase` is load, encode, denoise or decode; `step` of `of` units of it are done after `seconds`.
    #[wasm_bindgen(method)]
    fn progress(this: &Events, phase: &str, step: u32, of: u32, seconds: f64);

    /// Whether the page would look at a preview now.
    #[wasm_bindgen(method, js_name = wantsPreview)]
    fn wants_preview(this: &Events) -> bool;

    /// What the picture looks like so far, four bytes per pixel.
    #[wasm_bindgen(method)]
    fn preview(this: &Events, width: u32, height: u32, rgba: Uint8Array);

    /// Something that the user should know.
    #[wasm_bindgen(method)]
    fn warning(this: &Events, message: &str);

    /// Seconds on any clock.
    #[wasm_bindgen(method)]
    fn clock(this: &Events) -> f64;

    /// A promise that is resolved when the worker has looked at its messages.
    #[wasm_bindgen(method)]
    fn pause(this: &Events) -> Promise;
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
            // A promise that is rejected is a turn of the event loop all the same.
            let _ = JsFuture::from(turn).await;
        })
    }
}

/// Stops a run at its next step.
#[wasm_bindgen]
#[derive(Default)]
pub struct Cancel(pub(crate) CancelToken);

#[wasm_bindgen]
impl Cancel {
    /// Not cancelled yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
