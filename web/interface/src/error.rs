//! Errors between the interface and the worker's scripts.

use wasm_bindgen::JsValue;

/// A picture that cannot be read or written, as a JavaScript `Error` of the package's kind.
pub(crate) fn from_picture(error: easel_picture::Error) -> JsValue {
    let js = js_sys::Error::new(&error.to_string());
    js.set_name("InvalidRequest");
    js.into()
}

/// What JavaScript threw, in one line.
pub(crate) fn reason(thrown: &JsValue) -> String {
    let object = js_sys::Object::from(thrown.clone());
    String::from(object.to_string())
}
