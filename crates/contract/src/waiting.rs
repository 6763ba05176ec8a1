//! Waiting for the end of a task, for requests that are answered with its pictures.

use crate::Error;
use crate::service::{Result, Service, Status, Task, WatchOptions};
use futures_util::StreamExt;

/// When a client should retry if its task ended because the service is shutting down, in seconds.
const RETRY_AFTER: u32 = 5;

/// Waits until a task has its pictures.
pub(crate) async fn completed(service: &dyn Service, id: &str) -> Result<Task> {
    let mut reports = service.watch(id.to_owned(), WatchOptions::default()).await?;
    let mut has_ended = false;
    while let Some(report) = reports.next().await {
        has_ended = report.status.is_final();
    }
    if !has_ended {
        return Err(stopping());
    }
    let task = service.task(id.to_owned()).await?;
    match task.status {
        Status::Completed => Ok(task),
        Status::Cancelled => Err(Error::TaskCancelled),
        _ => Err(failed(task.error)),
    }
}

/// The error if the reports of a task stop before its end.
pub(crate) fn stopping() -> Error {
    Error::ShuttingDown { retry_after: RETRY_AFTER }
}

/// The error of a failed task.
pub(crate) fn failed(reason: Option<String>) -> Error {
    Error::TaskFailed { message: reason.unwrap_or_else(|| "the engine stopped".into()) }
}
