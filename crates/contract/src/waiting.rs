//! Requests that answer with the pictures of their task: they wait for its end.

use crate::service::{Result, Status, Task, WatchOptions};
use crate::{App, Error};
use futures_util::StreamExt;

/// How long a client should wait whose task is not drawn because the service stops, in seconds.
const RETRY_AFTER: u32 = 5;

/// Waits until a task has its pictures.
pub(crate) async fn completed(app: &App, id: &str) -> Result<Task> {
    let mut reports = app.service.watch(id.to_owned(), WatchOptions::default()).await?;
    let mut has_ended = false;
    while let Some(report) = reports.next().await {
        has_ended = report.status.is_final();
    }
    if !has_ended {
        return Err(stopping());
    }
    let task = app.service.task(id.to_owned()).await?;
    match task.status {
        Status::Completed => Ok(task),
        Status::Cancelled => Err(Error::TaskCancelled),
        _ => Err(failed(task.error)),
    }
}

/// The reports of a task have stopped before its end.
pub(crate) fn stopping() -> Error {
    Error::ShuttingDown { retry_after: RETRY_AFTER }
}

/// A task has failed, for the reason that it gives.
pub(crate) fn failed(reason: Option<String>) -> Error {
    Error::TaskFailed { message: reason.unwrap_or_else(|| "the engine stopped".into()) }
}
