//! The crate's checks for a browser, as a module whose functions a page calls (`cargo xtask e2e` does):
//!
//!     cargo build -p easel-webgpu --target wasm32-unknown-unknown --example browser
//!     wasm-bindgen --target web --out-dir DIR target/wasm32-unknown-unknown/debug/examples/browser.wasm
//!
//! On other platforms it builds but does nothing.

#![cfg(target_arch = "wasm32")]

#[path = "../../tests/conformance/main.rs"]
mod conformance;
mod runtime;

use easel_webgpu::{Context, Options, ops};
use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Receives the message of a panic. A failed row of the table ends in one.
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| error(&info.to_string())));
}

/// Checks the runtime. Returns a description of the device, or the first failure.
#[wasm_bindgen]
pub async fn runtime() -> Result<String, JsValue> {
    runtime::run().await.map_err(to_js)
}

/// Runs rows of the conformance table, with all features of the device or only those that WebGPU guarantees, and
/// returns their number. `wanted` is called with the name of each row and decides whether it runs. The first failure
/// ends the run.
#[wasm_bindgen]
pub async fn conformance(guaranteed_only: bool, wanted: Function) -> Result<u32, JsValue> {
    let context = open(guaranteed_only).await?;
    let mut rows = 0;
    let count = |row: &str| {
        let wanted = wanted.call1(&JsValue::NULL, &JsValue::from_str(row)).is_ok_and(|answer| answer.is_truthy());
        rows += u32::from(wanted);
        wanted
    };
    conformance::run(&context, count).await;
    Ok(rows)
}

/// All variants of all kernels for this device, in the browsers' dialect: pairs of name and text.
#[wasm_bindgen]
pub async fn variants(guaranteed_only: bool) -> Result<Array, JsValue> {
    let context = open(guaranteed_only).await?;
    let capabilities = context.capabilities();
    let pair = |kernel: easel_webgpu::shader::Kernel| {
        let name = format!("{} {:?}", kernel.name, kernel.constants);
        Array::of2(&JsValue::from_str(&name), &JsValue::from_str(&kernel.wgsl(capabilities)))
    };
    Ok(ops::variants(capabilities).into_iter().map(pair).collect())
}

async fn open(guaranteed_only: bool) -> Result<Context, JsValue> {
    Context::open(&Options { guaranteed_only, ..Options::default() }).await.map_err(to_js)
}

fn to_js(error: easel_webgpu::Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}
