//! The errors of the analysis family.

use crate::Error;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// The body of an error. Bad fields are 400, and the message begins with the field as it is in the request.
pub(crate) fn body(error: &Error, status: &mut StatusCode) -> Value {
    let message = match error {
        Error::InvalidField { field, message, .. } => {
            *status = StatusCode::BAD_REQUEST;
            located(field, message)
        }
        error => error.to_string(),
    };
    json!({ "error": message })
}

/// The field, the place in it if it is a list, and the message.
fn located(field: &str, message: &str) -> String {
    let (name, place) = field.split_at(field.find('[').unwrap_or(field.len()));
    if place.is_empty() { format!("{name}: {message}") } else { format!("{name}: {place}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_fields_are_400_by_their_names() {
        let said = |error: Error| {
            let mut status = error.status_and_code().0;
            let body = body(&error, &mut status);
            (status.as_u16(), body["error"].as_str().unwrap().to_owned())
        };
        assert_eq!(said(Error::invalid("roi[2]", "3 numbers")), (400, "roi: [2]: 3 numbers".to_owned()));
        assert_eq!(said(Error::invalid("image", "required")), (400, "image: required".to_owned()));
        assert_eq!(said(Error::QueueFull { retry_after: 5 }).0, 429);
    }
}
