//! Cancellation of what runs in wasm, by the worker's scripts.

use easel_inference::pipeline::CancelToken;
use wasm_bindgen::prelude::*;

/// Stops a run at its next step.
#[wasm_bindgen]
#[derive(Default)]
pub struct Cancel(CancelToken);

#[wasm_bindgen]
impl Cancel {
    /// Not cancelled yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the run.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl Cancel {
    /// What the run looks at.
    pub fn token(&self) -> &CancelToken {
        &self.0
    }
}
