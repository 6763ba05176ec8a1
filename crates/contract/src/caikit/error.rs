//! Errors in Caikit's shape.

use crate::Error;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// An error of this family.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CaikitError {
    details: String,
    /// The status.
    code: u16,
    /// A hash of the details.
    id: String,
}

/// An error in a request that could be read. A value out of range is 400 here; a value of another type stays 422.
pub(crate) struct Refused(Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.0 {
            error @ Error::InvalidField { .. } => (StatusCode::BAD_REQUEST, error).into_response(),
            error => error.into_response(),
        }
    }
}

/// The body of an error that other families answer with `status`. Here a body that is not JSON counts as a wrong type.
pub(crate) fn error_body(error: &Error, status: &mut StatusCode) -> Value {
    if let Error::InvalidJson { .. } = error {
        *status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    let details = error.to_string();
    let digest = Sha256::digest(details.as_bytes());
    json!(CaikitError { id: hex::encode(&digest[..16]), details, code: status.as_u16() })
}
