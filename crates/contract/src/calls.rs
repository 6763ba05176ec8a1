//! The service itself over HTTP: one route that carries every call of [`Service`] as it is, nothing rounded or renamed.
//!
//! A component on a foreign host (`edge/remote`) calls it, so that the routes for people stay the same wherever they run.
//! It offers nothing that those do not. The calls come from the table [`service_calls!`](crate::service_calls).
//!
//! It is for machines that know each other: a host has it only where it is asked for, and every caller must have its key.
//! Every argument is checked ([`Check`]) before the service sees it.

use crate::extract::{JsonBody, Offload, Reading};
use crate::limits::{Check, Limits};
use crate::service::{
    Device, DeviceKind, Health, Image, ImageFilter, ImagePage, ImageRequest, Model, Priority, Progress, Result, Run,
    Sampler, Service, Session, Task, TaskFilter, TaskPage, TaskSelection, WatchOptions,
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

/// The key of the route, as its SHA-256: comparing takes as long for a good guess as for a bad one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key that is spelled like this.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Whether a request has it, as `authorization: Bearer KEY`.
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

/// Who may call, and what a call may ask.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// What every caller must have.
    pub key: Key,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// Where long bodies are parsed; `None` parses them where they are read.
    pub offload: Option<Offload>,
    /// What is allowed.
    pub limits: Limits,
}

/// The state of the route.
#[derive(Clone)]
struct Called {
    service: Arc<dyn Service>,
    settings: CallSettings,
}

/// A call, and the type of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask<T> {
    /// The call.
    pub call: Call,
    answer: PhantomData<fn() -> T>,
}

/// Makes [`Call`], the functions that make calls, and what answers them.
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

        /// The calls as functions, for clients: each with the type of its answer.
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
    /// Whether every part works.
    pub fn health() -> Ask<Health> {
        Ask { call: Self::Health {}, answer: PhantomData }
    }
}

/// The route, answered by `service`. It has no CORS: pages cannot call it.
pub fn router(service: Arc<dyn Service>, settings: CallSettings) -> Router {
    let reading = Reading { limit: settings.body_limit, offload: settings.offload.clone() };
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(settings.body_limit))
        .layer(Extension(reading))
        .layer(from_fn_with_state(settings.key, admit))
        .with_state(Called { service, settings })
}

/// Refuses a caller without the key before anything of the body is read.
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
        return Err(Error::invalid("end", "before start"));
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
