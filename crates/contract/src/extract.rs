//! Reading requests: what a client got wrong becomes one of our errors and names the field.
//!
//! A body is read straight into the type that a handler takes, without a tree of its values in between: memory is that of
//! the body and of the fields that the type has, whatever else the body holds. Fields that the type does not have are
//! skipped. Long bodies are parsed on another thread where the deployment has one ([`Offload`]).

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

/// What a body is sent as.
const JSON: &str = "application/json";

/// A body above this many bytes is parsed by [`Offload`].
const LONG_BODY: usize = 256 << 10;

/// The most `name=value` pairs of a query: a thousand ids, and room for other fields.
const PAIRS_MAX: usize = 1100;

/// The longest message about a field in characters: it may quote what the client sent.
const MESSAGE_MAX: usize = 400;

/// How bodies are read, as a request's extension.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// How many bytes a body may have.
    pub(crate) limit: usize,
    /// Where long ones are parsed.
    pub(crate) offload: Option<Offload>,
}

/// What an [`Offload`] runs.
pub type Work = Box<dyn FnOnce() + Send>;

/// Runs work on a thread that may be busy for a while. Targets without threads have none.
#[derive(Clone)]
pub struct Offload(Arc<dyn Fn(Work) + Send + Sync>);

impl Offload {
    /// One that runs work like this.
    pub fn new(run: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self(Arc::new(run))
    }
}

/// Two handles of the same one.
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

/// What a host has set aside for the body of a request, as the request's extension: it is dropped when the body has been
/// read and parsed.
#[derive(Clone)]
pub struct Grant(#[expect(dead_code, reason = "kept only to be dropped")] Arc<dyn Any + Send + Sync>);

impl Grant {
    /// Keeps this until then.
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

/// A JSON body, or none.
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

/// Whether the body says that it is JSON. Another type would let a foreign page send requests without asking (CORS).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A body that has been read, and not yet parsed.
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

    /// What `read` makes of it.
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
            // A client that has left waits no more.
            let _ = parsed.send(value);
        }));
        waits.await.unwrap_or_else(|_| Err(Error::internal("the body could not be parsed")))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let malformed = |error: serde_json::Error| Error::InvalidJson { message: error.to_string() };
    // Structs can be read from arrays too, field by field in order: not here.
    if body.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(body).map_err(malformed)?;
        return Err(not_an_object(Place::Body));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if error.inner().is_data() { refused(&error, Place::Body) } else { malformed(error.into_inner()) }
    })?;
    json.end().map_err(malformed)?;
    Ok(value)
}

/// A query string. A name that is given several times is a list, an empty value is no value.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut fields = pairs(parts)?;
        fields.retain(|_, value| value.as_str() != Some(""));
        from_fields(fields, Place::Query).map(Self)
    }
}

/// A query string that says what to destroy, or none: an empty value in it is a mistake and not nothing.
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

/// The fields of a query. It is a part of the head, so its length is bounded already.
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

/// A value of fields that were given as text.
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
        text.parse().map(Self).map_err(|_| in_path("id", format!("{text:?} is not the number of a picture")))
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

/// The one variable part of the path.
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

/// What serde says about a value of the wrong kind, as an error that names the field by its path.
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

/// The name in a message that ends with it.
fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.strip_suffix('`')
}

/// The unknown name in a message of serde's, and the known ones.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let (name, known) = message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")?;
    Some((name, known.split('`').skip(1).step_by(2).collect()))
}

/// What to do about a field of an unknown name.
fn unknown_field(name: &str, known: &[&str]) -> String {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&shortened(name), known);
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.4) {
        Some(nearest) => format!("unknown field, did you mean {nearest:?}? Known are {}", known.join(", ")),
        None => format!("unknown field; known are {}", known.join(", ")),
    }
}

/// A message with its middle left out if it is long: the start names the fault, the end says what was expected.
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
    fn f4_what_is_not_asked_for_is_skipped_whatever_it_is() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for rest in [r#"[{"":0},{"":0}]"#, r#""text""#, &deep] {
            let body = format!(r#"{{"a":{rest},"prompt":"a cat","b":{rest}}}"#);
            assert!(parse::<Asked>(body.as_bytes()).is_ok());
        }
        assert!(refused(r#"{"prompt":"a cat","a":[{]}"#).starts_with("the body is not JSON: "));
        assert!(refused(r#"{"prompt":"a cat"} {}"#).starts_with("the body is not JSON: trailing characters"));
    }

    #[test]
    fn f4_a_field_that_is_given_twice_is_refused_and_named() {
        assert_eq!(refused(r#"{"prompt":"a cat","prompt":"a dog"}"#), "prompt: given more than once");
    }

    #[test]
    fn arrays_are_no_objects() {
        assert_eq!(refused(r#"["a cat", 512]"#), "body: expected a JSON object");
        assert_eq!(refused("7"), "body: expected a JSON object");
        assert!(refused("[").starts_with("the body is not JSON: "));
        assert!(refused("").starts_with("the body is not JSON: "));
    }

    #[test]
    fn messages_do_not_repeat_all_that_was_sent() {
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
            "unknown field, did you mean \"task_ids\"? Known are task_ids, status"
        );
        assert_eq!(unknown_field("x", &known), "unknown field; known are task_ids, status");
    }
}
