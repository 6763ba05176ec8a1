//! The service over HTTP: one route that carries every call of [`Service`] unchanged.
//!
//! A component on another host (`edge/remote`) calls it, so that the public routes behave the same wherever they run.
//! It offers nothing that those do not. The calls come from the table [`service_calls!`](crate::service_calls).
//!
//! It is for machines that trust each other: a host only has it if it is configured, and every caller needs its key.
//! Every argument is checked ([`Check`]) before the service sees it.

use crate::extract::{JsonBody, Offload, Reading};
use crate::limits::{Check, Limits};
use crate::service::{
    Analysis, AnalysisRequest, Device, DeviceKind, Health, Image, ImageFilter, ImagePage, ImageRequest, Model,
    Priority, Progress, Result, Run, Sampler, Service, Session, Task, TaskFilter, TaskPage, TaskSelection,
    WatchOptions,
};
use crate::{Error, service_calls};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The route, named after the interface that `edge/remote` stands in for.
pub const PATH: &str = "/studio/0.1";

/// The key of the route, stored as its SHA-256, so that the time of a comparison does not depend on how good a guess
/// is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key with this text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Whether a request carries it, as `authorization: Bearer KEY`.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, key)) = value.and_then(|value| value.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && bool::from(Self::new(key.trim()).0.ct_eq(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The key and the limits of the route.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// The key that every caller needs.
    pub key: Key,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// Parses long bodies on another thread; `None` parses them in place.
    pub offload: Option<Offload>,
    /// The limits of requests.
    pub limits: Limits,
}

/// The state of the route.
#[derive(Clone)]
struct Called {
    service: Arc<dyn Service>,
    settings: CallSettings,
}

/// A call with the type of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask<T> {
    /// The call.
    pub call: Call,
    answer: PhantomData<fn() -> T>,
}

/// Declares [`Call`], a function for each call, and the function that performs calls.
macro_rules! declare_calls {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        /// A call of the function of [`Service`] with the same name.
        ///
        /// The answer is the function's result as JSON, with status 200; an [`Error`] as JSON, with status 400. `Watch`
        /// answers with one line of JSON per [`Progress`], `ReadImage` with the bytes. A call is an object with one field, its
        /// name, whose value has the arguments: `{"task":{"id":"..."}}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the functions of `Service` describe them")]
        pub enum Call {
            $($call { $($argument: $type),* },)*
            $($written_out)*
        }

        /// Functions for clients that make calls, each with the type of its answer.
        impl Call {
            $(
                $(#[$doc])*
                pub fn $method($($argument: $type),*) -> Ask<$answer> {
                    Ask { call: Self::$call { $($argument),* }, answer: PhantomData }
                }
            )*
        }

        async fn perform(service: &dyn Service, call: Call, limits: &Limits) -> Result<Response> {
            match call {
                $(Call::$call { $($argument),* } => {
                    $($argument.check(limits)?;)*
                    Ok(Json(service.$method($($argument),*).await?).into_response())
                })*
                Call::Watch { id, options } => {
                    id.check(limits)?;
                    watch(service, id, options).await
                }
                Call::ReadImage { id, start, end } => read_image(service, id, start, end).await,
                Call::Health {} => Ok(Json(service.health().await).into_response()),
            }
        }
    };
}

service_calls!(declare_calls {
    Watch { id: String, options: WatchOptions },
    ReadImage { id: u64, start: u64, end: u64 },
    Health {},
});

impl Call {
    /// The state of all parts of the service.
    pub fn health() -> Ask<Health> {
        Ask { call: Self::Health {}, answer: PhantomData }
    }
}

/// The route, answered by `service`. It has no CORS headers: pages cannot call it.
pub fn router(service: Arc<dyn Service>, settings: CallSettings) -> Router {
    let reading = Reading { limit: settings.body_limit, offload: settings.offload.clone() };
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(settings.body_limit))
        .layer(Extension(reading))
        .layer(from_fn_with_state(settings.key, admit))
        .with_state(Called { service, settings })
}

/// Refuses a caller without the key before the body is read.
async fn admit(State(key): State<Key>, request: Request, next: Next) -> Response {
    if key.is_in(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
}

async fn answer(State(called): State<Called>, call: Result<JsonBody<Call>>) -> Response {
    let answered = match call {
        Ok(JsonBody(call)) => perform(&*called.service, call, &called.settings.limits).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| (StatusCode::BAD_REQUEST, Json(error)).into_response())
}

async fn watch(service: &dyn Service, id: String, options: WatchOptions) -> Result<Response> {
    let lines = service.watch(id, options).await?.map(line);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

async fn read_image(service: &dyn Service, id: u64, start: u64, end: u64) -> Result<Response> {
    if start > end {
        return Err(Error::invalid("end", "must not be before start"));
    }
    let size = service.image(id).await?.size;
    if end > size {
        return Err(Error::RangeNotSatisfiable { size });
    }
    let bytes = service.read_image(id, start..end).await?;
    let length = [(header::CONTENT_LENGTH, (end - start).to_string())];
    Ok((length, Body::from_stream(bytes)).into_response())
}

fn line(report: Progress) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    Ok(line)
}
