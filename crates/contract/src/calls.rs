//! The service itself over HTTP: one route that carries every call of [`Service`] as it is, nothing rounded or renamed.
//!
//! A component on a foreign host (`edge/remote`) calls it, so that the routes for people stay the same wherever they run.
//! It offers nothing that those do not. The calls come from the table [`service_calls!`](crate::service_calls).

use crate::extract::{BodyLimit, JsonBody};
use crate::service::{
    Device, DeviceKind, Health, Image, ImageFilter, ImagePage, ImageRequest, Priority, Progress, Result, Run, Service,
    Task, TaskFilter, TaskPage, TaskSelection, WatchOptions,
};
use crate::{Error, service_calls};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::Arc;

/// The route, named after the interface that `edge/remote` stands in for.
pub const PATH: &str = "/studio/0.1";

/// The longest body: a picture to start from in base64, and some text.
const BODY_LIMIT: usize = 64 << 20;

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
        /// answers with one line of JSON per [`Progress`], `ReadImage` with the bytes.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "call", rename_all = "snake_case")]
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

        async fn perform(service: &dyn Service, call: Call) -> Result<Response> {
            match call {
                $(Call::$call { $($argument),* } => {
                    Ok(Json(service.$method($($argument),*).await?).into_response())
                })*
                Call::Watch { id, options } => watch(service, id, options).await,
                Call::ReadImage { id, start, end } => read_image(service, id, start, end).await,
                Call::Health => Ok(Json(service.health().await).into_response()),
            }
        }
    };
}

service_calls!(declare_calls {
    Watch { id: String, options: WatchOptions },
    ReadImage { id: u64, start: u64, end: u64 },
    Health,
});

impl Call {
    /// Whether every part works.
    pub fn health() -> Ask<Health> {
        Ask { call: Self::Health, answer: PhantomData }
    }
}

/// The route, answered by `service`. It has no CORS: pages cannot call it.
pub fn router(service: Arc<dyn Service>) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(Extension(BodyLimit(BODY_LIMIT)))
        .with_state(service)
}

async fn answer(State(service): State<Arc<dyn Service>>, call: Result<JsonBody<Call>>) -> Response {
    let answered = match call {
        Ok(JsonBody(call)) => perform(&*service, call).await,
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
    let bytes = service.read_image(id, start..end).await?;
    let length = [(header::CONTENT_LENGTH, (end - start).to_string())];
    Ok((length, Body::from_stream(bytes)).into_response())
}

fn line(report: Progress) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    Ok(line)
}
