//! The API of AUTOMATIC1111's web UI (`modules/api` in <https://github.com/AUTOMATIC1111/stable-diffusion-webui>), as webuiapi,
//! SillyTavern and Open WebUI call it. Errors are `{"error","detail","body","errors"}`.
//!
//! Its clients share a session, which holds the chosen model and the task whose progress they read and which they
//! interrupt. On a server with keys each key has its own session, so that no client can stop another's task.

mod answer;
mod draw;
mod fields;
mod infotext;
mod lists;
mod options;
mod png_info;
mod progress;
mod samplers;
mod wish;

use crate::App;
use axum::Router;
use axum::routing::{get, post};
use utoipa::{OpenApi, ToSchema};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/sdapi/v1/txt2img", post(draw::txt2img))
        .route("/sdapi/v1/img2img", post(draw::img2img))
        .route("/sdapi/v1/progress", get(progress::progress))
        .route("/sdapi/v1/interrupt", post(progress::interrupt))
        .route("/sdapi/v1/skip", post(progress::skip))
        .route("/sdapi/v1/options", get(options::options).post(options::set_options))
        .route("/sdapi/v1/sd-models", get(options::models))
        .route("/sdapi/v1/samplers", get(samplers::list))
        .route("/sdapi/v1/schedulers", get(samplers::schedules))
        .route("/sdapi/v1/png-info", post(png_info::png_info))
        .route("/sdapi/v1/upscalers", get(lists::upscalers))
        .route("/sdapi/v1/latent-upscale-modes", get(lists::latent_upscale_modes))
        .route("/sdapi/v1/sd-vae", get(lists::sd_vae))
        .route("/sdapi/v1/loras", get(lists::loras))
        .route("/sdapi/v1/prompt-styles", get(lists::prompt_styles))
        .route("/sdapi/v1/hypernetworks", get(lists::hypernetworks))
        .route("/sdapi/v1/face-restorers", get(lists::face_restorers))
        .route("/sdapi/v1/embeddings", get(lists::embeddings))
        .route("/sdapi/v1/scripts", get(lists::scripts))
        .route("/sdapi/v1/cmd-flags", get(lists::cmd_flags))
        .route("/sdapi/v1/memory", get(lists::memory))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(
    draw::txt2img,
    draw::img2img,
    progress::progress,
    progress::interrupt,
    progress::skip,
    options::options,
    options::set_options,
    options::models,
    samplers::list,
    samplers::schedules,
    png_info::png_info,
    lists::upscalers,
    lists::latent_upscale_modes,
    lists::sd_vae,
    lists::loras,
    lists::prompt_styles,
    lists::hypernetworks,
    lists::face_restorers,
    lists::embeddings,
    lists::scripts,
    lists::cmd_flags,
    lists::memory
))]
pub(crate) struct Description;

/// An error of this family.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::shape` writes")]
#[schema(as = WebUiError)]
pub(crate) struct WebUiError {
    /// The error's stable code.
    error: String,
    detail: String,
    /// Always empty.
    body: String,
    /// The same as `detail`.
    errors: String,
}
