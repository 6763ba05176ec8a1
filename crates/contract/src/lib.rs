//! The HTTP interface of Easel, written once: wire types, errors, OpenAPI and [`router`].
//!
//! The router runs natively, in the edge component and in the browser. It has no clock, no threads and no storage of
//! its own: all of that is behind [`Service`].
//!
//! - A field's limits are its type (`field::Integer<64, 2048, 8>`): reading checks them and OpenAPI shows them.
//! - A handler returns an [`Error`]. The family that its route belongs to gives the error its JSON shape in one place.
//!   The stable code is in the header `x-easel-error`, because clients of some families compare whole bodies.
//! - `Service` speaks plain types. WIT says the same in `wit/studio.wit`; `wit_conversions!` writes the conversions
//!   for whatever bindings generator made the types, guest or host.
//! - A foreign host composes the component with `edge/remote`, which calls an Easel host. It uses a route of its own
//!   (`calls`, every call as it is) instead of the public ones, which round, cut and rename.

mod accept;
mod assets;
pub mod calls;
mod error;
mod extract;
pub mod field;
mod imagine;
mod range;
mod run;
pub mod service;
mod settings;
mod site;
mod task;
mod wire;
pub mod wit;

pub use accept::prefers_page;
pub use assets::Asset;
pub use error::{ERROR_CODE, Error, Place};
pub use service::Service;
pub use settings::{Origins, Settings};
pub use wire::SEED;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use error::{Family, shape};
use extract::BodyLimit;
use std::future::ready;
use std::sync::Arc;
use utoipa::OpenApi;

/// The state of every handler.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) settings: Arc<Settings>,
}

/// Every route, answered by `service`.
pub fn router(service: Arc<dyn Service>, settings: Settings) -> Router {
    let app = App { service, settings: Arc::new(settings) };
    let limit = app.settings.body_limit;
    let cors = app.settings.origins.layer();
    Router::new()
        .merge(family(run::routes(), Family::Run))
        .merge(family(task::routes(), Family::Task))
        .merge(family(imagine::routes(), Family::Imagine))
        .merge(family(site::routes(), Family::Task))
        .fallback(async || shape(Family::Task, Error::RouteNotFound.into_response()))
        .layer(DefaultBodyLimit::max(limit))
        .layer(Extension(BodyLimit(limit)))
        .layer(cors)
        .with_state(app)
}

/// Gives the errors of `routes` the shape of their family.
fn family(routes: Router<App>, family: Family) -> Router<App> {
    routes.layer(map_response(move |response: Response| ready(shape(family, response))))
}

/// The description of every route, from the types that they read and write.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut all = Description::openapi();
    all.merge(run::Description::openapi());
    all.merge(task::Description::openapi());
    all.merge(imagine::Description::openapi());
    all.merge(site::Description::openapi());
    all
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Easel",
    description = "Text to image. A task is submitted, watched and fetched; a run is the one task of a simple client.",
    license(name = "MIT OR Apache-2.0")
))]
struct Description;
