//! The one list of errors: each has a status, a stable code and a message. The body's shape is the API family's.

use crate::openai;
use crate::service::Status;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The header that carries an error's stable code.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-easel-error");

/// The header by which OpenAI's packages are told whether to ask again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How a key may be shown (RFC 9110, section 11.6.1). Browsers ask a person for what the second one wants.
const CHALLENGES: [&str; 2] = ["Bearer realm=\"easel\"", "Basic realm=\"easel\", charset=\"UTF-8\""];

/// Everything that can go wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// A field is missing, of the wrong type or out of range.
    #[error("{field}: {message}")]
    InvalidField {
        /// Where in the request the field is.
        place: Place,
        /// The field as the client wrote it.
        field: String,
        /// What is accepted, and what was found.
        message: String,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {message}")]
    InvalidJson {
        /// What the parser says.
        message: String,
    },
    /// The body ended early or could not be read.
    #[error("the body could not be read: {message}")]
    UnreadableBody {
        /// What the connection says.
        message: String,
    },
    /// The body says that it is something else.
    #[error("the body must be sent with content-type: {accepted}")]
    UnsupportedMediaType {
        /// What the route takes.
        #[serde(skip)]
        accepted: &'static str,
    },
    /// The body is too long.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge {
        /// The longest that is accepted.
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
        /// The id that was asked for.
        task_id: String,
    },
    /// There is no such task to cancel.
    #[error("Task not found")]
    NothingToCancel {
        /// The id that was asked for.
        task_id: String,
    },
    /// A task that has ended cannot be cancelled.
    #[error("Task already {}", if *status == Status::Error { "failed" } else { status.name() })]
    TaskEnded {
        /// Its id.
        task_id: String,
        /// How it ended.
        status: Status,
    },
    /// There is no such picture.
    #[error("Image not found")]
    ImageNotFound {
        /// The number that was asked for.
        id: u64,
    },
    /// The range lies outside the picture.
    #[error("the range lies outside of the {size} bytes")]
    RangeNotSatisfiable {
        /// How many bytes there are.
        size: u64,
    },
    /// Only one run is in progress at a time.
    #[error("Pipeline execution is already running or pipeline is not initialized.")]
    RunInProgress,
    /// The latest run has no picture to take.
    #[error("Pipeline execution is not yet complete.")]
    RunNotComplete,
    /// A device of this name is unknown or not there.
    #[error("Device {device} is not available.")]
    DeviceUnavailable {
        /// The device that was asked for.
        device: String,
    },
    /// There is no such model.
    #[error("model: {model:?} is not a known model")]
    ModelNotFound {
        /// The model that was asked for.
        model: String,
    },
    /// The machine has not the memory that the picture takes, however the model is held.
    #[error(
        "model: {model:?} does not fit this machine's memory: at least {needed} bytes needed, {available} free; {advice}"
    )]
    InsufficientMemory {
        /// The model that was asked for.
        model: String,
        /// Bytes of the smallest way to hold it.
        needed: u64,
        /// Bytes that there are.
        available: u64,
        /// What may help.
        advice: String,
    },
    /// There is no such sampler.
    #[error("Sampler not found: {sampler:?}; GET /sdapi/v1/samplers lists them")]
    SamplerNotFound {
        /// The sampler that was asked for.
        sampler: String,
    },
    /// The task that a client waits for was cancelled.
    #[error("the task was cancelled")]
    TaskCancelled,
    /// The task that a client waits for failed.
    #[error("the picture could not be drawn: {message}")]
    TaskFailed {
        /// What the engine says.
        message: String,
    },
    /// The request says twice, or not in any known way, which server it is for.
    #[error("the header host must name the server once: {reason}")]
    InvalidHost {
        /// What is wrong with it.
        #[serde(skip)]
        reason: &'static str,
    },
    /// The server does not go by that name.
    #[error(
        "host: this server does not go by the name {host:?}: call it by its address, or start it with --host-names {host}"
    )]
    HostNotAllowed {
        /// The name that it was called by.
        host: String,
    },
    /// The request is one of a page that may not call.
    #[error("pages of {origin} may not call this server: start it with --origins and the origin of the page")]
    PageNotAllowed {
        /// Where the page comes from.
        origin: String,
    },
    /// The server has keys, and the request shows none.
    #[error("a key is needed: send it as `authorization: Bearer KEY`, as `x-api-key: KEY` or as the password of Basic")]
    KeyRequired,
    /// The request's key is none of the server's.
    #[error("the key is not known")]
    KeyUnknown,
    /// The key is not good for the model.
    #[error("model: this key may not use {model:?}; it may use {}", allowed.join(", "))]
    ModelNotAllowed {
        /// The model that was asked for.
        model: String,
        /// The models that the key may use.
        allowed: Vec<String>,
    },
    /// The key has sent its share of requests.
    #[error("this key may send {rate} requests in a minute, try again in {retry_after} s")]
    RateExceeded {
        /// Requests in a minute.
        rate: u32,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The key has its share of requests in progress.
    #[error("this key may have {most} requests in progress at once, try again in {retry_after} s")]
    ConcurrencyExceeded {
        /// Requests at once.
        most: u32,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The queue takes no more.
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
    /// The store has too much to do, or waits for its disk; nothing was changed.
    #[error("the service is busy, try again in {retry_after} s")]
    Busy {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// Something is broken; the message is for the client, details belong in the log.
    #[error("internal error: {message}")]
    Internal {
        /// The fault.
        message: String,
    },
}

/// Where in a request a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the JSON body.
    Body,
    /// In the query string.
    Query,
    /// In the path.
    Path,
}

impl Error {
    /// A field of the body that only the service can judge.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidField { place: Place::Body, field: field.into(), message: message.into() }
    }

    /// The same with a field under the name that the client's family has for it: pairs of the service's name and that.
    pub(crate) fn renamed(mut self, names: &[(&str, &str)]) -> Self {
        if let Self::InvalidField { field, .. } = &mut self
            && let Some((_, theirs)) = names.iter().find(|(ours, _)| ours == field)
        {
            *field = (*theirs).to_owned();
        }
        self
    }

    /// Something that is not the client's fault.
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

    /// What FastAPI's `detail` says for it: a text, or an object where the task family's clients read one.
    fn detail(&self) -> Value {
        let message = self.to_string();
        match self {
            Self::InvalidField { place, field, message } => {
                let place = ["body", "query", "path"][*place as usize];
                json!([{ "type": "invalid_field", "loc": [place, field], "msg": message }])
            }
            Self::NothingToCancel { task_id } => json!({
                "message": message, "task_id": task_id, "suggestion": "Check /tasks endpoint for available tasks",
            }),
            Self::TaskEnded { task_id, status } => json!({
                "message": message, "task_id": task_id, "current_status": status.name(),
                "result_available": *status == Status::Completed,
            }),
            _ => Value::String(message),
        }
    }
}

/// The error is kept beside an empty body, which the family's [`shape`] fills.
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

/// Whose error shape a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `{"status":"error","message","detail"}`.
    Run,
    /// FastAPI's `{"detail"}`.
    Task,
    /// Flask's `{"error"}`.
    Imagine,
    /// OpenAI's `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// AUTOMATIC1111's `{"error","detail","body","errors"}`.
    WebUi,
}

impl Family {
    /// The family that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("pipeline") => Self::Run,
            Some("imagine") => Self::Imagine,
            Some("v1") => Self::OpenAi,
            Some("sdapi") => Self::WebUi,
            _ => Self::Task,
        }
    }

    /// What the description calls its errors.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Run => "PipelineError",
            Self::Task => "TaskError",
            Self::Imagine => "ImagineError",
            Self::OpenAi => "OpenAiError",
            Self::WebUi => "WebUiError",
        }
    }
}

/// Gives the errors of every route the shape of their family.
pub(crate) async fn shape_errors(request: Request, next: Next) -> Response {
    let family = Family::of(request.uri().path());
    shape(family, next.run(request).await)
}

/// Fills the body of an error, and of axum's own 405.
pub(crate) fn shape(family: Family, mut response: Response) -> Response {
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Error::MethodNotAllowed,
        None => return response,
    };
    let message = error.to_string();
    let body = match family {
        Family::OpenAi => {
            let (status, body) = openai::error_body(&error);
            *response.status_mut() = status;
            if matches!(error, Error::TaskCancelled | Error::TaskFailed { .. }) {
                // The packages ask again after a conflict and after a fault of the server: that would draw it again.
                response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            body
        }
        Family::Run => json!({ "status": "error", "message": message, "detail": message }),
        Family::Task => json!({ "detail": error.detail() }),
        Family::Imagine => json!({ "error": message }),
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
