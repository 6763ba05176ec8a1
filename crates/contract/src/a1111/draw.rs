//! `txt2img` and `img2img`: one request, answered with its pictures.

use super::answer::{Drawn, PicturesResponse, respond};
use super::wish::{Kind, NAMES, Wish};
use super::{WebUiError, samplers};
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::service::{Priority, Result, Status, Task, WatchOptions};
use crate::{App, waiting};
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;

/// Draw pictures from a text.
///
/// With `enable_hr` each picture is drawn, enlarged and drawn again. If the client disconnects, its task is cancelled.
/// If the task is interrupted, the answer has the pictures that are finished.
#[utoipa::path(post, path = "/sdapi/v1/txt2img", tag = "sdapi", request_body = Wish,
    responses((status = 200, body = PicturesResponse,
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 404, body = WebUiError, description = "no such model or sampler"),
              (status = 422, body = WebUiError),
              (status = 429, body = WebUiError, description = "the queue is full"),
              (status = 503, body = WebUiError, description = "shutting down")))]
pub(crate) async fn txt2img(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response> {
    draw(app, caller, wish, Kind::Text).await
}

/// Draw pictures from a picture and a text.
#[utoipa::path(post, path = "/sdapi/v1/img2img", tag = "sdapi", request_body = Wish,
    responses((status = 200, body = PicturesResponse,
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 404, body = WebUiError, description = "no such model or sampler"),
              (status = 422, body = WebUiError),
              (status = 429, body = WebUiError, description = "the queue is full"),
              (status = 503, body = WebUiError, description = "shutting down")))]
pub(crate) async fn img2img(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response> {
    draw(app, caller, wish, Kind::Picture).await
}

async fn draw(app: App, caller: Caller, mut wish: Wish, kind: Kind) -> Result<Response> {
    let known = if wish.sampler().is_some() { app.service.samplers().await? } else { Vec::new() };
    let scheduler = samplers::choose(&known, wish.sampler(), wish.schedule())?;
    let session = caller.session();
    let model = match wish.model() {
        Some(model) => Some(model.to_owned()),
        None => app.service.session(session.clone()).await?.model,
    };
    let mut request = wish.request(kind, scheduler, model.clone())?;
    request.session = Some(session);
    let strength = request.init.as_ref().map(|init| init.strength).or(request.hires.map(|hires| hires.strength));
    let queued = caller.submit(&*app.service, request, Priority::Normal).await;
    let task = queued.map_err(|error| error.renamed(&NAMES))?;
    let task = ended(&app, &task.id).await?;
    respond(app, Drawn { wish, task, model, strength }).await
}

/// Waits until a task has its pictures or was stopped. It is watched with previews, so that the engine makes them for
/// `/sdapi/v1/progress`.
async fn ended(app: &App, id: &str) -> Result<Task> {
    let options = WatchOptions { after: None, preview: true };
    let mut reports = app.service.watch(id.to_owned(), options).await?;
    let mut has_ended = false;
    while let Some(report) = reports.next().await {
        has_ended = report.status.is_final();
    }
    if !has_ended {
        return Err(waiting::stopping());
    }
    let task = app.service.task(id.to_owned()).await?;
    match task.status {
        Status::Error => Err(waiting::failed(task.error)),
        _ => Ok(task),
    }
}
