//! Reads requests. A client's mistakes become our errors, which name the field.
//!
//! A body is parsed directly into the handler's type, without a tree of values in between, so it takes the memory of
//! the body and of the type's fields, whatever else it contains. Other fields are skipped. Long bodies are parsed on
//! another thread if the deployment has one ([`Offload`]).

use crate::error::{Error, Place};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures_channel::oneshot;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The accepted content type.
const JSON: &str = "application/json";

/// Longer bodies, in bytes, are parsed by [`Offload`].
const LONG_BODY: usize = 256 << 10;

/// The most `name=value` pairs in a query: a thousand ids and some other fields.
const PAIRS_MAX: usize = 1100;

/// The longest message about a field, in characters. Messages may quote the client's input.
const MESSAGE_MAX: usize = 400;

/// How to read the body, as a request's extension.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The most bytes of a body.
    pub(crate) limit: usize,
    /// Parses long bodies.
    pub(crate) offload: Option<Offload>,
}

/// The work for an [`Offload`].
pub type Work = Box<dyn FnOnce() + Send>;

/// Runs work on a thread that may block. Targets without threads have none.
#[derive(Clone)]
pub struct Offload(Arc<dyn Fn(Work) + Send + Sync>);

impl Offload {
    /// An offload that runs work by calling `run`.
    pub fn new(run: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self(Arc::new(run))
    }
}

/// Whether both are clones of one offload.
impl PartialEq for Offload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offload")
    }
}

/// A host's reservation for the body of a request, as the request's extension. It is dropped when the body has been
/// parsed.
#[derive(Clone)]
pub struct Grant(#[expect(dead_code, reason = "kept only to be dropped")] Arc<dyn Any + Send + Sync>);

impl Grant {
    /// Keeps this value until the body has been parsed.
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self(Arc::new(kept))
    }
}

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType { accepted: JSON });
        }
        Body::read(request, state).await?.parse().await.map(Self)
    }
}

/// An optional JSON body.
pub(crate) struct OptionalJsonBody<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let is_json = is_json(request.headers());
        let body = Body::read(request, state).await?;
        match (body.bytes.is_empty(), is_json) {
            (true, _) => Ok(Self(None)),
            (false, true) => body.parse().await.map(|value| Self(Some(value))),
            (false, false) => Err(Error::UnsupportedMediaType { accepted: JSON }),
        }
    }
}

/// Whether the content type is JSON. If other types were accepted, foreign pages could send requests without a
/// preflight (CORS).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A body that has been read but not parsed.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    offload: Option<Offload>,
    grant: Option<Grant>,
}

impl Body {
    pub(crate) async fn read<S: Send + Sync>(mut request: Request, state: &S) -> Result<Self, Error> {
        let reading = request.extensions_mut().remove::<Reading>();
        let Reading { limit, offload } = reading.unwrap_or(Reading { limit: usize::MAX, offload: None });
        let grant = request.extensions_mut().remove();
        let headers = request.headers();
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: usize| length > limit) {
            return Err(Error::BodyTooLarge { limit });
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            let message = rejection.body_text();
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Error::BodyTooLarge { limit },
                _ => Error::UnreadableBody { message },
            }
        })?;
        Ok(Self { bytes, offload, grant })
    }

    async fn parse<T: DeserializeOwned + Send + 'static>(self) -> Result<T, Error> {
        self.read_with(parse).await
    }

    /// The result of `read`, on the deployment's [`Offload`] if the body is long.
    pub(crate) async fn read_with<T: Send + 'static>(
        self,
        read: impl FnOnce(&[u8]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Self { bytes, offload, grant } = self;
        let Some(Offload(run)) = offload.filter(|_| bytes.len() > LONG_BODY) else { return read(&bytes) };
        let (parsed, waits) = oneshot::channel();
        run(Box::new(move || {
            let value = read(&bytes);
            drop(bytes);
            drop(grant);
            // The client may have disconnected.
            let _ = parsed.send(value);
        }));
        waits.await.unwrap_or_else(|_| Err(Error::internal("the body could not be parsed")))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let malformed = |error: &serde_json::Error| Error::InvalidJson { message: error.to_string() };
    // Serde also reads structs from arrays, field by field. That is not allowed here.
    if body.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| malformed(&error))?;
        return Err(not_an_object(Place::Body));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| if error.inner().is_data() { refused(&error, Place::Body) } else { misspelt(&error) })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// The error for what is not JSON, with the field in which it is.
fn misspelt(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = error.path().to_string();
    let reason = error.inner().to_string();
    // Where a body ends early is not the fault of a field.
    let is_in_field = error.inner().is_syntax() && path != ".";
    let message = if !is_in_field { reason } else { format!("in {}: {reason}", shortened(&path)) };
    Error::InvalidJson { message }
}

/// A query string. A repeated name makes a list, and an empty value counts as missing.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut fields = pairs(parts)?;
        fields.retain(|_, value| value.as_str() != Some(""));
        from_fields(fields, Place::Query).map(Self)
    }
}

/// An optional query string that selects what to delete. An empty value in it is an error, not a missing value.
pub(crate) struct StrictQuery<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let fields = pairs(parts)?;
        if fields.is_empty() {
            return Ok(Self(None));
        }
        if let Some((field, _)) = fields.iter().find(|(_, value)| value.as_str() == Some("")) {
            let message = "has no value: give one, or leave the field out".to_owned();
            return Err(Error::InvalidField { place: Place::Query, field: field.clone(), message });
        }
        from_fields(fields, Place::Query).map(|value| Self(Some(value)))
    }
}

/// The fields of a query. Its length is limited, as it is part of the head.
fn pairs(parts: &Parts) -> Result<Map<String, Value>, Error> {
    let mut fields = Map::new();
    let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    for (number, (name, value)) in pairs.enumerate() {
        if number == PAIRS_MAX {
            let message = format!("must have at most {PAIRS_MAX} fields");
            return Err(Error::InvalidField { place: Place::Query, field: "query".to_owned(), message });
        }
        let value = Value::String(value.into_owned());
        match fields.get_mut(&*name) {
            None => drop(fields.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(fields)
}

/// Deserialises fields that were sent as text.
pub(crate) fn from_fields<T: DeserializeOwned>(fields: Map<String, Value>, place: Place) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| refused(&error, place))
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
        text.parse().map(Self).map_err(|_| in_path("id", format!("expected the number of a picture, got {text:?}")))
    }
}

/// The name of a model in the path.
pub(crate) struct ModelId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for ModelId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        segment(parts, state, "model").await.map(Self)
    }
}

/// The only parameter of the path.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S, field: &str) -> Result<String, Error> {
    let segment = Path::<String>::from_request_parts(parts, state).await;
    segment.map(|Path(text)| text).map_err(|rejection| in_path(field, rejection.body_text()))
}

fn in_path(field: &str, message: String) -> Error {
    Error::InvalidField { place: Place::Path, field: field.to_owned(), message }
}

fn not_an_object(place: Place) -> Error {
    Error::InvalidField { place, field: "body".to_owned(), message: "expected a JSON object".to_owned() }
}

/// Turns serde's error into ours, which names the field by its path.
fn refused(error: &serde_path_to_error::Error<serde_json::Error>, place: Place) -> Error {
    let path = error.path().to_string();
    let inner = error.inner();
    let message = inner.to_string();
    let position = format!(" at line {} column {}", inner.line(), inner.column());
    let message = message.strip_suffix(&position).unwrap_or(&message);
    let within = |name: &str| if path == "." { name.to_owned() } else { format!("{path}.{name}") };
    let (field, message) = if let Some(name) = quoted(message, "missing field `") {
        (within(name), "required".to_owned())
    } else if let Some(name) = quoted(message, "duplicate field `") {
        (within(name), "given more than once".to_owned())
    } else if let Some((name, known)) = unknown(message) {
        (shortened(name), unknown_field(name, &known))
    } else if path == "." {
        ("body".to_owned(), shortened(message))
    } else {
        (path, shortened(message))
    };
    Error::InvalidField { place, field, message }
}

/// The backquoted name at the end of a message.
fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.strip_suffix('`')
}

/// The unknown field in a message from serde, and the known fields.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let (name, known) = message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")?;
    Some((name, known.split('`').skip(1).step_by(2).collect()))
}

/// The message for an unknown field, with the nearest known one.
fn unknown_field(name: &str, known: &[&str]) -> String {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&shortened(name), known);
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.4) {
        Some(nearest) => format!("unknown field, did you mean {nearest:?}? Known fields: {}", known.join(", ")),
        None => format!("unknown field; known fields: {}", known.join(", ")),
    }
}

/// Cuts out the middle of a long message. The start names the fault, and the end says what was expected.
fn shortened(message: &str) -> String {
    if message.len() <= MESSAGE_MAX {
        return message.to_owned();
    }
    let head: String = message.chars().take(MESSAGE_MAX / 2).collect();
    let cut = message.char_indices().rev().nth(MESSAGE_MAX / 2 - 1).map_or(0, |(start, _)| start);
    format!("{head}...{}", &message[cut.max(head.len())..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Prompt, Size};
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Asked {
        prompt: Prompt,
        width: Option<Size>,
    }

    fn refused(body: &str) -> String {
        parse::<Asked>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn f4_other_fields_are_skipped_whatever_they_contain() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for rest in [r#"[{"":0},{"":0}]"#, r#""text""#, &deep] {
            let body = format!(r#"{{"a":{rest},"prompt":"a cat","b":{rest}}}"#);
            assert!(parse::<Asked>(body.as_bytes()).is_ok());
        }
        assert!(refused(r#"{"prompt":"a cat","a":[{]}"#).starts_with("the body is not JSON: "));
        assert!(refused(r#"{"prompt":"a cat"} {}"#).starts_with("the body is not JSON: trailing characters"));
    }

    #[test]
    fn what_is_not_json_is_named_by_its_field() {
        let expected = "the body is not JSON: in width: expected value at line 1 column 27";
        assert_eq!(refused(r#"{"prompt":"a cat","width":NaN}"#), expected);
    }

    #[test]
    fn f4_a_repeated_field_is_refused_and_named() {
        assert_eq!(refused(r#"{"prompt":"a cat","prompt":"a dog"}"#), "prompt: given more than once");
    }

    #[test]
    fn arrays_are_not_objects() {
        assert_eq!(refused(r#"["a cat", 512]"#), "body: expected a JSON object");
        assert_eq!(refused("7"), "body: expected a JSON object");
        assert!(refused("[").starts_with("the body is not JSON: "));
        assert!(refused("").starts_with("the body is not JSON: "));
    }

    #[test]
    fn messages_do_not_repeat_long_input() {
        let message = refused(&format!(r#"{{"prompt":"a","width":"{}"}}"#, "é".repeat(100_000)));
        assert!(message.starts_with("width: invalid value: string \"éé") && message.len() < 1000, "{message}");
        assert!(message.ends_with("expected a multiple of 8 from 64 to 2048"), "{message}");
        assert_eq!(shortened(&"é".repeat(400)).chars().count(), 403);
    }

    #[test]
    fn f14_the_nearest_known_field_is_named() {
        let known = ["task_ids", "status"];
        assert_eq!(
            unknown_field("taskids", &known),
            "unknown field, did you mean \"task_ids\"? Known fields: task_ids, status"
        );
        assert_eq!(unknown_field("x", &known), "unknown field; known fields: task_ids, status");
    }
}
