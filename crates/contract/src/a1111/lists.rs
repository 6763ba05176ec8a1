//! Lists that clients ask for when they start. Most are empty, because Easel has no such features.

use axum::Json;
use serde_json::{Value, json};

/// Upscalers for pictures.
#[utoipa::path(get, path = "/sdapi/v1/upscalers", tag = "sdapi", responses((status = 200, body = Vec<Object>)))]
pub(crate) async fn upscalers() -> Json<Value> {
    let entry = |name| json!({ "name": name, "model_name": null, "model_path": null, "model_url": null, "scale": 4 });
    Json(json!(["None", "Lanczos"].map(entry)))
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident($path:literal, $body:ty) = $value:tt;)*) => { $(
        $(#[$doc])*
        #[utoipa::path(get, path = $path, tag = "sdapi", responses((status = 200, body = $body)))]
        pub(crate) async fn $name() -> Json<Value> {
            Json(json!($value))
        }
    )* };
}

fixed! {
    /// Upscalers for latents. Clients show these names beside those of the upscalers.
    latent_upscale_modes("/sdapi/v1/latent-upscale-modes", Vec<Object>) = [{ "name": "Latent" }];

    /// Replacement autoencoders: none.
    sd_vae("/sdapi/v1/sd-vae", Vec<Object>) = [];

    /// LoRAs: none.
    loras("/sdapi/v1/loras", Vec<Object>) = [];

    /// Styles: none.
    prompt_styles("/sdapi/v1/prompt-styles", Vec<Object>) = [];

    /// Hypernetworks: none.
    hypernetworks("/sdapi/v1/hypernetworks", Vec<Object>) = [];

    /// Face restorers: none.
    face_restorers("/sdapi/v1/face-restorers", Vec<Object>) = [];

    /// Embeddings: none.
    embeddings("/sdapi/v1/embeddings", Object) = { "loaded": {}, "skipped": {} };

    /// Scripts: none.
    scripts("/sdapi/v1/scripts", Object) = { "txt2img": [], "img2img": [] };

    /// Command-line options of the web UI: none.
    cmd_flags("/sdapi/v1/cmd-flags", Object) = {};

    /// Memory: empty. `/metrics` and `/pipeline/devices` have numbers.
    memory("/sdapi/v1/memory", Object) = { "ram": {}, "cuda": {} };
}
