//! Functions that wgpu lacks in a browser, through the JavaScript objects behind its handles: requesting subgroups,
//! writing from a JavaScript array, and timers.

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::one_line;
use crate::{Error, Result};

#[wasm_bindgen]
extern "C" {
    type Gpu;
    #[wasm_bindgen(method, catch, js_name = requestAdapter)]
    fn request_adapter(this: &Gpu, options: &JsValue) -> Result<Promise, JsValue>;

    type GpuAdapter;
    #[wasm_bindgen(method, getter)]
    fn features(this: &GpuAdapter) -> Features;
    #[wasm_bindgen(method, catch, js_name = requestDevice)]
    fn request_device(this: &GpuAdapter, descriptor: &JsValue) -> Result<Promise, JsValue>;

    type GpuDevice;
    #[wasm_bindgen(method, getter)]
    fn features(this: &GpuDevice) -> Features;
    #[wasm_bindgen(method, getter, js_name = adapterInfo)]
    fn adapter_info(this: &GpuDevice) -> Option<Info>;

    type Info;
    #[wasm_bindgen(method, getter, js_name = subgroupMinSize)]
    fn subgroup_min_size(this: &Info) -> Option<u32>;
    #[wasm_bindgen(method, getter, js_name = subgroupMaxSize)]
    fn subgroup_max_size(this: &Info) -> Option<u32>;

    type Features;
    #[wasm_bindgen(method)]
    fn has(this: &Features, name: &str) -> bool;

    type GpuQueue;
    #[wasm_bindgen(method, catch, js_name = writeBuffer)]
    fn write_buffer(this: &GpuQueue, buffer: &JsValue, offset: f64, data: &Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &Function, milliseconds: u32) -> JsValue;
}

/// Resolved after this long.
pub(crate) async fn sleep(milliseconds: u32) {
    let timer = Promise::new(&mut |resolve, _| drop(set_timeout(&resolve, milliseconds)));
    // It is never rejected.
    let _ = JsFuture::from(timer).await;
}

/// Calls `request`, which requests an adapter. If the adapter has subgroups, they are added to the request for its
/// device, because wgpu 30 cannot request them.
pub(crate) fn with_subgroups<T>(request: impl FnOnce() -> T) -> T {
    let Some(gpu) = gpu() else { return request() };
    let name = JsValue::from_str("requestAdapter");
    let this = gpu.clone();
    let patched = Closure::once_into_js(move |options: JsValue| {
        let _ = Reflect::delete_property(this.unchecked_ref::<Object>(), &name);
        let promise = this.unchecked_ref::<Gpu>().request_adapter(&options)?;
        Ok::<_, JsValue>(wasm_bindgen_futures::future_to_promise(async move {
            let adapter = JsFuture::from(promise).await?;
            if !adapter.is_null() {
                patch_adapter(&adapter)?;
            }
            Ok(adapter)
        }))
    });
    // If the page forbids it, there are no subgroups.
    let _ = Reflect::set(&gpu, &JsValue::from_str("requestAdapter"), &patched);
    request()
}

/// `navigator.gpu` of a page or a worker.
fn gpu() -> Option<JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &JsValue::from_str("navigator")).ok()?;
    let gpu = Reflect::get(&navigator, &JsValue::from_str("gpu")).ok()?;
    gpu.is_object().then_some(gpu)
}

fn patch_adapter(adapter: &JsValue) -> Result<(), JsValue> {
    let name = JsValue::from_str("requestDevice");
    if !adapter.unchecked_ref::<GpuAdapter>().features().has("subgroups") {
        return Ok(());
    }
    let this = adapter.clone();
    let own = name.clone();
    let patched = Closure::once_into_js(move |descriptor: JsValue| {
        Reflect::delete_property(this.unchecked_ref::<Object>(), &own)?;
        let key = JsValue::from_str("requiredFeatures");
        let wanted = Array::from(&Reflect::get(&descriptor, &key)?);
        wanted.push(&JsValue::from_str("subgroups"));
        Reflect::set(&descriptor, &key, &wanted)?;
        this.unchecked_ref::<GpuAdapter>().request_device(&descriptor)
    });
    Reflect::set(adapter, &name, &patched)?;
    Ok(())
}

/// The subgroup sizes of a device that was granted subgroups.
pub(crate) fn subgroups(device: &wgpu::Device) -> Option<(u32, u32)> {
    let device: &GpuDevice = device.as_webgpu()?.unchecked_ref();
    let info = device.adapter_info();
    let size = |get: fn(&Info) -> Option<u32>, unknown| info.as_ref().and_then(get).unwrap_or(unknown);
    // The widest range that WebGPU allows, if the browser does not say.
    let sizes = (size(Info::subgroup_min_size, 4), size(Info::subgroup_max_size, 128));
    device.features().has("subgroups").then_some(sizes)
}

/// `GPUQueue.writeBuffer` with an array of JavaScript.
pub(crate) fn write(queue: &wgpu::Queue, buffer: &wgpu::Buffer, offset: u64, content: &Uint8Array) -> Result<()> {
    let (Some(queue), Some(buffer)) = (queue.as_webgpu(), buffer.as_webgpu()) else {
        return Err(Error::Unsupported { feature: "JavaScript queue" });
    };
    let queue: &GpuQueue = queue.unchecked_ref();
    let failed = |error: JsValue| Error::Device { reason: one_line(&format!("{error:?}")) };
    queue.write_buffer(buffer.as_ref(), offset as f64, content).map_err(failed)
}
