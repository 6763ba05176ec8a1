//! The service's own routes: the page, the documentation, health and metrics.

use crate::assets::Asset;
use crate::service::{Health, Result};
use crate::{App, accept};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use utoipa::{OpenApi, ToSchema};

/// The description, as [`crate::openapi`] writes it. The code for that is a third of a component, which has this instead; a
/// test compares the two.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"));

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(root))
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/docs", get(docs))
        .route("/openapi.json", get(openapi))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(root, health, live, ready, metrics, docs, openapi))]
pub(crate) struct Description;

/// The service's name, version and state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "easel")]
    name: &'static str,
    version: &'static str,
}

/// The state of all parts of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthReport {
    /// `healthy` or `unhealthy`; `alive`; `ready` or `unready`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Each part with `ok` or its problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<BTreeMap<String, String>>,
}

fn verdict(health: &Health) -> (StatusCode, &'static str) {
    match health.is_healthy() {
        true => (StatusCode::OK, "healthy"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    }
}

/// The page for browsers, the state of the service for programs.
#[utoipa::path(get, path = "/", tag = "service",
    responses((status = 200, content((About = "application/json"), (String = "text/html"))),
              (status = 503, body = About)))]
async fn root(State(app): State<App>, headers: HeaderMap) -> Response {
    static PAGE: OnceLock<Asset> = OnceLock::new();
    if accept::prefers_page(&headers) {
        return PAGE.get_or_init(|| Asset::page(include_str!("../assets/index.html"))).respond(&headers);
    }
    let (code, status) = verdict(&app.service.health().await);
    let about = About { status, name: "easel", version: env!("CARGO_PKG_VERSION") };
    (code, [(header::VARY, "accept")], Json(about)).into_response()
}

/// The state of all parts of the service.
#[utoipa::path(get, path = "/health", tag = "service",
    responses((status = 200, body = HealthReport), (status = 503, body = HealthReport)))]
async fn health(State(app): State<App>) -> Response {
    let health = app.service.health().await;
    let (code, status) = verdict(&health);
    let checks = (!health.is_healthy()).then(|| checks(health));
    (code, Json(HealthReport { status, checks })).into_response()
}

/// Whether the process responds, whatever the state of its parts. If not, restart it.
#[utoipa::path(get, path = "/health/live", tag = "service", responses((status = 200, body = HealthReport)))]
async fn live() -> Json<HealthReport> {
    Json(HealthReport { status: "alive", checks: None })
}

/// Whether the service accepts work, and the state of each part. If not, send requests elsewhere.
#[utoipa::path(get, path = "/health/ready", tag = "service",
    responses((status = 200, body = HealthReport), (status = 503, body = HealthReport)))]
async fn ready(State(app): State<App>) -> Response {
    let health = app.service.health().await;
    let code = verdict(&health).0;
    let status = if health.is_healthy() { "ready" } else { "unready" };
    (code, Json(HealthReport { status, checks: Some(checks(health)) })).into_response()
}

fn checks(health: Health) -> BTreeMap<String, String> {
    health.checks.into_iter().map(|(part, problem)| (part, problem.unwrap_or("ok".into()))).collect()
}

/// Counters and gauges in the text format of OpenMetrics, which Prometheus reads.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
async fn metrics(State(app): State<App>) -> Result<Response> {
    let text = app.service.metrics().await?;
    let media_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// This description as an interactive page.
#[utoipa::path(get, path = "/docs", tag = "service",
    responses((status = 200, content_type = "text/html", body = String)))]
async fn docs(headers: HeaderMap) -> Response {
    static DOCS: OnceLock<Asset> = OnceLock::new();
    DOCS.get_or_init(|| Asset::page(include_str!("../assets/docs.html"))).respond(&headers)
}

/// This description as JSON.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, body = Object)))]
async fn openapi(headers: HeaderMap) -> Result<Response> {
    static DESCRIPTION: OnceLock<Asset> = OnceLock::new();
    if let Some(asset) = DESCRIPTION.get() {
        return Ok(asset.respond(&headers));
    }
    let asset = Asset::packed("application/json", PACKED).map_err(crate::Error::internal)?;
    Ok(DESCRIPTION.get_or_init(|| asset).respond(&headers))
}
