//! The queue's refusals as the contract's errors.

use super::conversions::status;
use super::request_id;
use easel_contract::Error;
use easel_contract::service::Result;
use easel_jobs::{PictureId, TaskId};

/// How long a refused client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 5;

/// The queue's error as one of the contract's.
pub(super) fn refused(error: easel_jobs::Error) -> Error {
    use easel_jobs::Error as Jobs;
    match error {
        Jobs::QueueFull { .. } => Error::QueueFull { retry_after: RETRY_AFTER },
        Jobs::ShuttingDown => Error::ShuttingDown { retry_after: RETRY_AFTER },
        Jobs::UnknownTask { id } => Error::TaskNotFound { task_id: id.to_string() },
        Jobs::AlreadyEnded { id, status: ended } => Error::TaskEnded { task_id: id.to_string(), status: status(ended) },
        Jobs::UnknownPicture { id } => Error::ImageNotFound { id: id.cast_unsigned() },
        Jobs::RunInProgress => Error::RunInProgress,
        Jobs::RunNotComplete => Error::RunNotComplete,
        // The store has logged which one.
        Jobs::DamagedPicture { .. } => Error::internal("the picture is damaged"),
        error if error.is_temporary() => {
            let id = request_id::current();
            tracing::warn!(%error, request = id.as_ref().map(request_id::text), "the store is busy");
            Error::Busy { retry_after: RETRY_AFTER }
        }
        other => {
            // Paths and system messages are only for the operator.
            let id = request_id::current();
            tracing::error!(error = %other, request = id.as_ref().map(request_id::text), "the store failed");
            Error::internal("the store failed")
        }
    }
}

pub(super) fn task_id(text: &str) -> Result<TaskId> {
    text.parse().map_err(|_| Error::TaskNotFound { task_id: text.to_owned() })
}

pub(super) fn picture_id(id: u64) -> Result<PictureId> {
    id.try_into().map_err(|_| Error::ImageNotFound { id })
}
