//! The message of a panic, because JavaScript only learns that the instance stopped.

use std::sync::Mutex;
use wasm_bindgen::prelude::*;

/// The message of the last panic.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the messages of panics.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = PANIC.lock() {
            *last = Some(info.to_string());
        }
    }));
}

/// The message of the panic that stopped this instance. Without one, it ran out of memory.
#[wasm_bindgen]
pub fn panicked() -> Option<String> {
    PANIC.lock().ok().and_then(|last| last.clone())
}
