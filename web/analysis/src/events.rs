//! What a run calls in the worker.

use easel_inference::pipeline::Watcher;
use easel_inference::weights::BoxFuture;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The worker's object, whose methods are called during the run.
    pub type Events;

    /// A promise that is resolved when the worker has handled its messages.
    #[wasm_bindgen(method)]
    fn pause(this: &Events) -> Promise;
}

impl Watcher for Events {
    fn pause(&mut self) -> BoxFuture<'_, ()> {
        let turn = Self::pause(self);
        Box::pin(async move {
            // A rejected promise also yields to the event loop.
            let _ = JsFuture::from(turn).await;
        })
    }
}
