//! Lists that clients ask for when they start. Most are empty: there are no such things here.

use axum::Json;
use serde_json::{Value, json};

/// What enlarges pictures.
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
    /// What enlarges latents: clients show these names beside those of the upscalers.
    latent_upscale_modes("/sdapi/v1/latent-upscale-modes", Vec<Object>) = [{ "name": "Latent" }];

    /// Autoencoders to choose from: none.
    sd_vae("/sdapi/v1/sd-vae", Vec<Object>) = [];

    /// LoRAs: none.
    loras("/sdapi/v1/loras", Vec<Object>) = [];

    /// Styles: none.
    prompt_styles("/sdapi/v1/prompt-styles", Vec<Object>) = [];

    /// Hypernetworks: none.
    hypernetworks("/sdapi/v1/hypernetworks", Vec<Object>) = [];

    /// What restores faces: nothing.
    face_restorers("/sdapi/v1/face-restorers", Vec<Object>) = [];

    /// Embeddings: none.
    embeddings("/sdapi/v1/embeddings", Object) = { "loaded": {}, "skipped": {} };

    /// Scripts: none.
    scripts("/sdapi/v1/scripts", Object) = { "txt2img": [], "img2img": [] };

    /// The options that the program was started with: none that clients know.
    cmd_flags("/sdapi/v1/cmd-flags", Object) = {};

    /// Memory: `/metrics` and `/pipeline/devices` say more.
    memory("/sdapi/v1/memory", Object) = { "ram": {}, "cuda": {} };
}
