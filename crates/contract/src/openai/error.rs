//! Errors in OpenAI's shape. OpenAI's packages choose the exception class by the status.

use crate::Error;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// An error of the OpenAI family.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct OpenAiError {
    error: Details,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiErrorDetails)]
pub(crate) struct Details {
    message: String,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The invalid field under the client's name.
    param: Option<String>,
    code: &'static str,
}

/// The status and the body of an error.
pub(crate) fn body(error: &Error) -> (StatusCode, Value) {
    let (status, error) = describe(error);
    (status, json!(error))
}

/// The status and the description of an error.
pub(super) fn describe(error: &Error) -> (StatusCode, OpenAiError) {
    let (status, code) = error.status_and_code();
    let (status, param) = match error {
        // Clients expect 400 for a bad request and treat 422 differently.
        Error::InvalidField { field, .. } => (StatusCode::BAD_REQUEST, Some(field.clone())),
        Error::ModelNotFound { .. } | Error::ModelNotAllowed { .. } => (status, Some("model".to_owned())),
        _ => (status, None),
    };
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let code = match error {
        Error::KeyRequired | Error::KeyUnknown => "invalid_api_key",
        _ => code,
    };
    let error = Details { message: error.to_string(), kind, param, code };
    (status, OpenAiError { error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Status;

    #[test]
    fn every_error_has_the_four_fields_and_the_status_of_its_class() {
        let shape = |error: Error| {
            let (status, body) = body(&error);
            let error = &body["error"];
            assert!(error["message"].is_string());
            (status.as_u16(), error["type"].as_str().unwrap().to_owned(), error["param"].clone(), error["code"].clone())
        };
        let expected =
            |status: u16, kind: &str, param: Value, code: &str| (status, kind.to_owned(), param, json!(code));
        assert_eq!(
            shape(Error::invalid("n", "too many")),
            expected(400, "invalid_request_error", json!("n"), "invalid_field")
        );
        assert_eq!(
            shape(Error::ModelNotFound { model: "x".into() }),
            expected(404, "invalid_request_error", json!("model"), "model_not_found")
        );
        assert_eq!(shape(Error::KeyRequired), expected(401, "authentication_error", Value::Null, "invalid_api_key"));
        assert_eq!(
            shape(Error::QueueFull { retry_after: 5 }),
            expected(429, "rate_limit_error", Value::Null, "queue_full")
        );
        assert_eq!(
            shape(Error::ShuttingDown { retry_after: 5 }),
            expected(503, "server_error", Value::Null, "shutting_down")
        );
        assert_eq!(shape(Error::TaskEnded { task_id: "a".into(), status: Status::Error }).1, "invalid_request_error");
    }
}
