//! The options of a call from JavaScript.

use easel_inference::{Error, Result};
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

/// The options of a call. [`Error::Invalid`] names an invalid one.
pub fn read<T: DeserializeOwned>(options: JsValue) -> Result<T> {
    serde_path_to_error::deserialize(serde_wasm_bindgen::Deserializer::from(options)).map_err(|error| {
        let reason = error.inner().to_string();
        let reason = reason.strip_prefix("Error: ").unwrap_or(&reason);
        match error.path().to_string().as_str() {
            "." => Error::invalid("options", reason),
            field => Error::invalid("options", format!("{field}: {reason}")),
        }
    })
}
