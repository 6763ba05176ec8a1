//! Easel's HTTP interface as a WebAssembly component: `easel-contract`'s router over the imported `easel:image/studio`.
//!
//! The deployment chooses what draws the pictures: a host that links the interface, or a component composed with this
//! one.

mod imported;

use axum::body::Body;
use axum::extract::Request;
use easel_contract::{Settings, router};
use futures_util::TryStreamExt;
use imported::Imported;
use send_wrapper::SendWrapper;
use spin_sdk::http::IntoResponse;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http_service;
use std::sync::{Arc, OnceLock};
use tower::ServiceExt;

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> impl IntoResponse {
    // An instance serves many requests in turn, so the routes are built once.
    static ROUTER: OnceLock<axum::Router> = OnceLock::new();
    let router = ROUTER.get_or_init(|| {
        let settings = Settings::from_environment(|name| std::env::var(name).ok());
        router(Arc::new(Imported), settings)
    });
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(SendWrapper::new(body.stream().map_err(|error| error.to_string())));
    router.clone().oneshot(Request::from_parts(parts, body)).await
}
