//! Reading requests: what a client got wrong becomes one of our errors and names the field.

use crate::error::{Error, Place};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How many bytes a body may have, as a request's extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        parse(&read(request, state).await?).map(Self)
    }
}

/// A JSON body where a request without any means the default.
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let is_json = is_json(request.headers());
        let body = read(request, state).await?;
        match (body.is_empty(), is_json) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => parse(&body).map(Self),
            (false, false) => Err(Error::UnsupportedMediaType),
        }
    }
}

/// Whether the body says that it is JSON. Another type would let a foreign page send requests without asking (CORS).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let value = serde_json::from_slice(body).map_err(|error| Error::InvalidJson { message: error.to_string() })?;
    check(value, Place::Body)
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    let limit = request.extensions().get().map_or(usize::MAX, |limit: &BodyLimit| limit.0);
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > limit) {
        return Err(Error::BodyTooLarge { limit });
    }
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        let message = rejection.body_text();
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::BodyTooLarge { limit },
            _ => Error::UnreadableBody { message },
        }
    })
}

/// A query string. A name that is given several times is a list, an empty value is no value.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut fields = Map::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if value.is_empty() {
                continue;
            }
            let value = Value::String(value.into_owned());
            match fields.get_mut(&*name) {
                None => drop(fields.insert(name.into_owned(), value)),
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        check(Value::Object(fields), Place::Query).map(Self)
    }
}

/// The id of a task in the path.
pub(crate) struct TaskId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        segment(parts, state, "task_id").await.map(Self)
    }
}

/// The number of a picture in the path.
pub(crate) struct ImageId(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for ImageId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let text = segment(parts, state, "id").await?;
        text.parse().map(Self).map_err(|_| in_path("id", format!("{text:?} is not the number of a picture")))
    }
}

/// The one variable part of the path.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S, field: &str) -> Result<String, Error> {
    let segment = Path::<String>::from_request_parts(parts, state).await;
    segment.map(|Path(text)| text).map_err(|rejection| in_path(field, rejection.body_text()))
}

fn in_path(field: &str, message: String) -> Error {
    Error::InvalidField { place: Place::Path, field: field.to_owned(), message }
}

/// A value as `T`; the error names the field by its path.
fn check<T: DeserializeOwned>(value: Value, place: Place) -> Result<T, Error> {
    if !value.is_object() {
        let message = "expected a JSON object".to_owned();
        return Err(Error::InvalidField { place, field: "body".to_owned(), message });
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let (field, message) = match missing {
            Some(name) if path == "." => (name.to_owned(), "required".to_owned()),
            Some(name) => (format!("{path}.{name}"), "required".to_owned()),
            None if path == "." => ("body".to_owned(), message),
            None => (path, message),
        };
        Error::InvalidField { place, field, message }
    })
}
