//! The contract's errors as gRPC statuses (<https://grpc.io/docs/guides/status-codes/>).

use axum::http::HeaderValue;
use easel_contract::{ERROR_CODE, Error};
use tonic::{Code, Status};

/// The status of an error. The metadata has its stable code, like the headers over HTTP.
pub(in crate::serve) fn of(error: &Error) -> Status {
    let (http, name) = error.status_and_code();
    let code = match http.as_u16() {
        400 | 415 | 416 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 | 421 => Code::PermissionDenied,
        404 => Code::NotFound,
        405 => Code::Unimplemented,
        409 => Code::Cancelled,
        413 | 429 | 507 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    };
    let mut status = Status::new(code, error.to_string());
    status.metadata_mut().as_mut().insert(ERROR_CODE, HeaderValue::from_static(name));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_errors_has_its_code() {
        let code = |error: Error| of(&error).code();
        assert_eq!(code(Error::invalid("height", "too large")), Code::InvalidArgument);
        assert_eq!(code(Error::ModelNotFound { model: "m".into() }), Code::NotFound);
        assert_eq!(code(Error::KeyUnknown), Code::Unauthenticated);
        assert_eq!(code(Error::ModelNotAllowed { model: "m".into(), allowed: Vec::new() }), Code::PermissionDenied);
        assert_eq!(code(Error::QueueFull { retry_after: 1 }), Code::ResourceExhausted);
        assert_eq!(code(Error::ShuttingDown { retry_after: 1 }), Code::Unavailable);
        assert_eq!(code(Error::TaskCancelled), Code::Cancelled);
        assert_eq!(code(Error::internal("broken")), Code::Internal);
        let status = of(&Error::KeyRequired);
        assert_eq!(status.metadata().get("x-easel-error").unwrap(), "key_required");
    }
}
