//! The conformance table for a browser, as a module whose `check` a page or worker calls:
//!
//!     cargo build -p easel-webgpu --target wasm32-unknown-unknown --example conformance
//!     wasm-bindgen --target web --out-dir DIR target/wasm32-unknown-unknown/debug/examples/conformance.wasm
//!
//! It also builds, and does nothing, on other platforms.

#![cfg(target_arch = "wasm32")]

#[path = "../tests/conformance/main.rs"]
mod conformance;

use easel_webgpu::{Context, Options};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Where the message of a failed row goes.
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

/// Runs every row on the browser's device and describes it. `next` is called with the name of each row before it runs.
/// The first row that fails is the last.
#[wasm_bindgen]
pub async fn check(guaranteed_only: bool, next: js_sys::Function) -> Result<String, JsValue> {
    std::panic::set_hook(Box::new(|info| error(&info.to_string())));
    let options = Options { guaranteed_only, ..Options::default() };
    let context = Context::open(&options).await.map_err(|error| JsValue::from_str(&error.to_string()))?;
    let say = |row: &str| drop(next.call1(&JsValue::NULL, &JsValue::from_str(row)));
    conformance::run_all(&context, say).await;
    Ok(format!("{:?}", context.capabilities()))
}
