//! The HTTP interface of Easel, written once: wire types, errors, OpenAPI and [`router`].
//!
//! The router runs natively, in the edge component and in the browser. It has no clock, no threads and no storage of
//! its own: all of that is behind [`Service`].
//!
//! - A field's limits are its type (`field::Integer<64, 2048, 8>`): reading checks them and OpenAPI shows them. What a
//!   service is asked is checked once more as a whole (`limits`), because some ask it without a route.
//! - A handler returns an [`Error`]. The family that its route belongs to gives the error its JSON shape in one place.
//!   The stable code is in the header `x-easel-error`, because clients of some families compare whole bodies.
//! - What may call at all is decided in one place, `access`, before a route sees a request.
//! - `Service` speaks plain types. WIT says the same in `wit/studio.wit`; `wit_conversions!` writes the conversions
//!   for whatever bindings generator made the types, guest or host.
//! - A foreign host composes the component with `edge/remote`, which calls an Easel host. It uses a route of its own
//!   (`calls`, every call as it is) instead of the public ones, which round, cut and rename. A host has that route only
//!   where it is asked for, with a key of its own.

mod a1111;
mod accept;
pub mod access;
mod assets;
pub mod calls;
mod description;
mod error;
mod extract;
pub mod field;
mod head;
mod imagine;
pub mod limits;
mod multipart;
mod offer;
mod openai;
mod pictures;
mod range;
mod request;
mod run;
pub mod service;
mod settings;
mod site;
mod sse;
mod task;
mod waiting;
mod wire;
pub mod wit;

pub use accept::prefers_page;
pub use access::Origins;
pub use assets::Asset;
pub use description::openapi;
pub use error::{ERROR_CODE, Error, Place};
pub use extract::{Grant, Offload, Work};
pub use limits::{Check, Limits};
pub use service::Service;
pub use settings::Settings;
pub use wire::SEED;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::middleware::{from_fn, from_fn_with_state};
use error::shape_errors;
use extract::Reading;
use std::sync::Arc;

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
    let reading = Reading { limit, offload: app.settings.offload.clone() };
    let cors = app.settings.origins.layer();
    Router::new()
        .merge(run::routes())
        .merge(task::routes())
        .merge(imagine::routes())
        .merge(openai::routes())
        .merge(a1111::routes())
        .merge(site::routes())
        .fallback(async || Error::RouteNotFound)
        .layer(from_fn_with_state(app.clone(), access::guard))
        .layer(from_fn(shape_errors))
        .layer(DefaultBodyLimit::max(limit))
        .layer(Extension(reading))
        .layer(cors)
        .with_state(app)
}
