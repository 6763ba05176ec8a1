//! The HTTP interface of Easel, written once: wire types, errors, OpenAPI and [`router`].
//!
//! The router runs natively, in the edge component and in the browser. It has no clock, threads or storage of its own;
//! those are behind [`Service`].
//!
//! - A field's limits are its type (`field::Integer<64, 2048, 8>`): deserialising checks them and OpenAPI shows them.
//!   Whole requests are checked again (`limits`), because some reach the service without a route.
//! - A handler returns an [`Error`]. The route's family gives it a JSON shape, in one place. The stable code is in the
//!   header `x-easel-error`, because clients of some families compare whole bodies.
//! - Access is checked in one place, `access`, before a route sees the request.
//! - `Service` has plain types, and `wit/studio.wit` mirrors them. `wit_conversions!` generates the conversions for the
//!   types of any bindings generator, guest or host.
//! - Another host composes the component with `edge/remote`, which calls an Easel host. It uses the internal route
//!   (`calls`), which carries every call unchanged; the public routes round, shorten and rename. A host only has that
//!   route if it is configured, and it needs its own key.

mod a1111;
mod accept;
pub mod access;
mod analysis;
mod assets;
pub mod caikit;
pub mod calls;
mod description;
mod error;
mod exif;
mod extract;
mod family;
pub mod field;
mod head;
mod imagine;
pub mod limits;
pub mod links;
mod multipart;
mod offer;
mod openai;
mod origin;
mod pictures;
mod range;
mod request;
mod run;
mod seen;
pub mod service;
mod settings;
mod site;
mod sse;
mod task;
pub mod tools;
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
pub use origin::{Origin, REQUEST_ID, TRACEPARENT, request_id};
pub use service::Service;
pub use settings::Settings;
pub use wire::SEED;

use axum::Router;
use std::sync::Arc;

/// The state of all handlers.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) limits: Limits,
}

/// All routes, answered by `service`.
pub fn router(service: Arc<dyn Service>, settings: Settings) -> Router {
    let routes = Router::new()
        .merge(run::routes())
        .merge(task::routes())
        .merge(imagine::routes())
        .merge(openai::routes())
        .merge(a1111::routes())
        .merge(caikit::routes())
        .merge(analysis::routes())
        .merge(site::routes())
        .fallback(async || Error::RouteNotFound)
        .with_state(App { service, limits: settings.limits });
    access::protected(routes, Arc::new(settings))
}
