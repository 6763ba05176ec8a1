//! All errors, each with a status, a stable code and a message. Each API family has its own JSON shape for them.

use crate::family::Family;
use crate::service::Status;
use crate::{analysis, caikit, openai, task};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The header that carries an error's stable code.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-easel-error");

/// The header that tells OpenAI's packages whether to retry.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The challenges for a key (RFC 9110, section 11.6.1). Browsers prompt the user for the second one.
const CHALLENGES: [&str; 2] = ["Bearer realm=\"easel\"", "Basic realm=\"easel\", charset=\"UTF-8\""];

/// Everything that can go wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// A field is missing, of the wrong type or out of range.
    #[error("{field}: {message}")]
    InvalidField {
        /// The part of the request that contains the field.
        place: Place,
        /// The field's name in the client's request.
        field: String,
        /// The accepted values, and the one found.
        message: String,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {message}")]
    InvalidJson {
        /// The parser's message.
        message: String,
    },
    /// The body ended early or is malformed.
    #[error("the body could not be read: {message}")]
    UnreadableBody {
        /// The reason.
        message: String,
    },
    /// The body has another content type.
    #[error("the body must be sent with content-type: {accepted}")]
    UnsupportedMediaType {
        /// The accepted types.
        #[serde(skip)]
        accepted: &'static str,
    },
    /// The body is too long.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// There is no such route.
    #[error("Not Found")]
    RouteNotFound,
    /// The route has other methods.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// There is no such task.
    #[error("Task not found")]
    TaskNotFound {
        /// The requested id.
        task_id: String,
    },
    /// There is no such task to cancel.
    #[error("Task not found")]
    NothingToCancel {
        /// The requested id.
        task_id: String,
    },
    /// A task that has ended cannot be cancelled.
    #[error("Task already {}", if *status == Status::Error { "failed" } else { status.name() })]
    TaskEnded {
        /// The task's id.
        task_id: String,
        /// Its status.
        status: Status,
    },
    /// There is no such picture.
    #[error("Image not found")]
    ImageNotFound {
        /// The requested number.
        id: u64,
    },
    /// The range lies outside the picture.
    #[error("the range lies outside the {size} bytes")]
    RangeNotSatisfiable {
        /// The picture's size in bytes.
        size: u64,
    },
    /// Only one run is in progress at a time.
    #[error("Pipeline execution is already running or pipeline is not initialized.")]
    RunInProgress,
    /// The latest run has no picture, or it was taken already.
    #[error("Pipeline execution is not yet complete.")]
    RunNotComplete,
    /// There is no such device.
    #[error("Device {device} is not available.")]
    DeviceUnavailable {
        /// The requested device.
        device: String,
    },
    /// There is no such model.
    #[error("model: {model:?} is not a known model")]
    ModelNotFound {
        /// The requested model.
        model: String,
    },
    /// The machine does not have enough memory for the picture, even if the model is loaded in parts.
    #[error(
        "model: {model:?} does not fit this machine's memory: at least {needed} bytes needed, {available} free; {advice}"
    )]
    InsufficientMemory {
        /// The requested model.
        model: String,
        /// Bytes needed at least.
        needed: u64,
        /// Bytes free.
        available: u64,
        /// Advice on what may help.
        advice: String,
    },
    /// There is no such sampler.
    #[error("Sampler not found: {sampler:?}; GET /sdapi/v1/samplers lists them")]
    SamplerNotFound {
        /// The requested sampler.
        sampler: String,
    },
    /// The client's task was cancelled.
    #[error("the task was cancelled")]
    TaskCancelled,
    /// The client's task failed.
    #[error("the picture could not be drawn: {message}")]
    TaskFailed {
        /// The engine's message.
        message: String,
    },
    /// The prompt is not a text or a list of texts, or one of them is empty.
    #[error("Invalid prompt. It should be a non-empty string or non empty list of strings")]
    InvalidPrompt,
    /// No part of an analysis could be made.
    #[error("{message}")]
    NotAnalyzed {
        /// What each part lacks.
        message: String,
    },
    /// The header `host` occurs twice or is malformed.
    #[error("the header host must name the server once: {reason}")]
    InvalidHost {
        /// The reason.
        #[serde(skip)]
        reason: &'static str,
    },
    /// The request is for another server name.
    #[error("host: {host:?} is not a name of this server: use its address, or start it with --host-names {host}")]
    HostNotAllowed {
        /// The name in the request.
        host: String,
    },
    /// The request comes from a foreign page.
    #[error("pages of {origin} may not call this server: start it with --origins and the origin of the page")]
    PageNotAllowed {
        /// The page's origin.
        origin: String,
    },
    /// The server has keys, and the request carries none.
    #[error("a key is needed: send it as `authorization: Bearer KEY`, as `x-api-key: KEY` or as the password of Basic")]
    KeyRequired,
    /// The request's key is not valid.
    #[error("the key is not valid")]
    KeyUnknown,
    /// The key may not use the model.
    #[error("model: this key may not use {model:?}; it may use {}", allowed.join(", "))]
    ModelNotAllowed {
        /// The requested model.
        model: String,
        /// The models that the key may use.
        allowed: Vec<String>,
    },
    /// The key has reached its rate limit.
    #[error("this key may send {rate} requests per minute, try again in {retry_after} s")]
    RateExceeded {
        /// Requests per minute.
        rate: u32,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The key has reached its limit of concurrent requests.
    #[error("this key may have {most} requests in progress at once, try again in {retry_after} s")]
    ConcurrencyExceeded {
        /// Concurrent requests.
        most: u32,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The queue is full.
    #[error("the queue is full, try again in {retry_after} s")]
    QueueFull {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The service is stopping.
    #[error("the service is shutting down, try again in {retry_after} s")]
    ShuttingDown {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The store is overloaded or waits for its disk; nothing was changed.
    #[error("the service is busy, try again in {retry_after} s")]
    Busy {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// An internal fault. The message is for the client; details belong in the log.
    #[error("internal error: {message}")]
    Internal {
        /// The message.
        message: String,
    },
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The JSON body.
    Body,
    /// The query string.
    Query,
    /// The path.
    Path,
}

impl Error {
    /// An invalid field of the body.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidField { place: Place::Body, field: field.into(), message: message.into() }
    }

    /// Renames the field of an error. `names` has pairs of the service's name and the name in the client's family.
    pub(crate) fn renamed(mut self, names: &[(&str, &str)]) -> Self {
        if let Self::InvalidField { field, .. } = &mut self
            && let Some((_, theirs)) = names.iter().find(|(ours, _)| ours == field)
        {
            *field = (*theirs).to_owned();
        }
        self
    }

    /// An internal error.
    pub fn internal(message: impl ToString) -> Self {
        Self::Internal { message: message.to_string() }
    }

    /// Its HTTP status and its stable code.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidField { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_field"),
            Self::InvalidJson { .. } => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::UnreadableBody { .. } => (StatusCode::BAD_REQUEST, "unreadable_body"),
            Self::UnsupportedMediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TaskNotFound { .. } => (StatusCode::NOT_FOUND, "task_not_found"),
            Self::NothingToCancel { .. } => (StatusCode::NOT_FOUND, "task_not_found"),
            Self::TaskEnded { .. } => (StatusCode::BAD_REQUEST, "task_ended"),
            Self::ImageNotFound { .. } => (StatusCode::NOT_FOUND, "image_not_found"),
            Self::RangeNotSatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
            Self::RunInProgress => (StatusCode::BAD_REQUEST, "run_in_progress"),
            Self::RunNotComplete => (StatusCode::BAD_REQUEST, "run_not_complete"),
            Self::DeviceUnavailable { .. } => (StatusCode::BAD_REQUEST, "device_unavailable"),
            Self::ModelNotFound { .. } => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::InsufficientMemory { .. } => (StatusCode::INSUFFICIENT_STORAGE, "insufficient_memory"),
            Self::SamplerNotFound { .. } => (StatusCode::NOT_FOUND, "sampler_not_found"),
            Self::TaskCancelled => (StatusCode::CONFLICT, "task_cancelled"),
            Self::TaskFailed { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "task_failed"),
            Self::InvalidPrompt => (StatusCode::BAD_REQUEST, "invalid_field"),
            Self::NotAnalyzed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_analyzed"),
            Self::InvalidHost { .. } => (StatusCode::BAD_REQUEST, "invalid_host"),
            Self::HostNotAllowed { .. } => (StatusCode::MISDIRECTED_REQUEST, "host_not_allowed"),
            Self::PageNotAllowed { .. } => (StatusCode::FORBIDDEN, "page_not_allowed"),
            Self::KeyRequired => (StatusCode::UNAUTHORIZED, "key_required"),
            Self::KeyUnknown => (StatusCode::UNAUTHORIZED, "key_unknown"),
            Self::ModelNotAllowed { .. } => (StatusCode::FORBIDDEN, "model_not_allowed"),
            Self::RateExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_exceeded"),
            Self::ConcurrencyExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "concurrency_exceeded"),
            Self::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            Self::ShuttingDown { .. } => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// An empty body with the error as an extension, from which [`shape`] writes the body.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status_and_code().0.into_response();
        let headers = response.headers_mut();
        match self {
            Self::QueueFull { retry_after }
            | Self::ShuttingDown { retry_after }
            | Self::Busy { retry_after }
            | Self::RateExceeded { retry_after, .. }
            | Self::ConcurrencyExceeded { retry_after, .. } => {
                headers.insert(header::RETRY_AFTER, retry_after.into());
            }
            Self::KeyRequired | Self::KeyUnknown => {
                for scheme in CHALLENGES {
                    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
                }
            }
            Self::RangeNotSatisfiable { size } => {
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Fills the body of an error, and of axum's own 405, in the shape of the route's family. The log explains internal errors,
/// so their message has the request's id, by which they are found there.
pub(crate) fn shape(family: Family, request_id: Option<&HeaderValue>, mut response: Response) -> Response {
    let mut error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Error::MethodNotAllowed,
        None => return response,
    };
    if let Error::Internal { message } = &mut error
        && let Some(id) = request_id.and_then(|id| id.to_str().ok())
    {
        message.push_str(&format!(" (request {id})"));
    }
    let message = error.to_string();
    let body = match family {
        Family::OpenAi => {
            let (status, body) = openai::error_body(&error);
            *response.status_mut() = status;
            if matches!(error, Error::TaskCancelled | Error::TaskFailed { .. }) {
                // The packages retry after conflicts and server errors, which would draw the picture again.
                response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            body
        }
        Family::Caikit => caikit::error_body(&error, response.status_mut()),
        Family::Run => json!({ "status": "error", "message": message, "detail": message }),
        Family::Task => json!({ "detail": task::error_detail(&error) }),
        Family::Imagine => json!({ "error": message }),
        Family::Analysis => analysis::error_body(&error, response.status_mut()),
        Family::WebUi => {
            json!({ "error": error.status_and_code().1, "detail": message, "body": "", "errors": message })
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ERROR_CODE, HeaderValue::from_static(error.status_and_code().1));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body.to_string());
    response
}
