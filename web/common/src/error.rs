//! Errors for JavaScript: an `Error` whose `name` is its kind.

use easel_inference::Error;
use wasm_bindgen::JsValue;

/// The kinds that a page treats differently.
fn name(error: &Error) -> &'static str {
    match error {
        Error::Cancelled => "AbortError",
        Error::Invalid { .. } | Error::Picture(easel_picture::Error::Invalid { .. }) => "InvalidRequest",
        Error::Device { .. } => "DeviceError",
        Error::DeviceLost { .. } => "DeviceLost",
        Error::OutOfMemory { .. } | Error::InsufficientMemory { .. } => "OutOfMemory",
        Error::Backend { .. } => "BackendError",
        Error::NotFinite { .. } | Error::Picture(easel_picture::Error::NotFinite) => "NotFinite",
        Error::Io { .. } | Error::Network { .. } | Error::Checksum { .. } => "ReadError",
        _ => "ModelError",
    }
}

/// The error as a JavaScript `Error`.
pub fn to_js(error: Error) -> JsValue {
    let js = js_sys::Error::new(&error.to_string());
    js.set_name(name(&error));
    js.into()
}

/// A value that JavaScript threw, as one line.
pub fn reason(thrown: &JsValue) -> String {
    let object = js_sys::Object::from(thrown.clone());
    String::from(object.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_matter_have_names() {
        assert_eq!(name(&Error::Cancelled), "AbortError");
        assert_eq!(name(&Error::invalid("steps", "0 is not from 1 to 1000")), "InvalidRequest");
        assert_eq!(name(&Error::format("a", "b")), "ModelError");
    }
}
