//! The errors of the task family.

use crate::Error;
use crate::service::Status;
use serde_json::{Value, json};

/// The `detail` of FastAPI's errors: a text, or an object if the family's clients expect one.
pub(crate) fn detail(error: &Error) -> Value {
    let message = error.to_string();
    match error {
        Error::InvalidField { place, field, message } => {
            let place = ["body", "query", "path"][*place as usize];
            json!([{ "type": "invalid_field", "loc": [place, field], "msg": message }])
        }
        Error::NothingToCancel { task_id } => json!({
            "message": message, "task_id": task_id, "suggestion": "Check /tasks endpoint for available tasks",
        }),
        Error::TaskEnded { task_id, status } => json!({
            "message": message, "task_id": task_id, "current_status": status.name(),
            "result_available": *status == Status::Completed,
        }),
        _ => Value::String(message),
    }
}
