//! Answers as server-sent events: previews of the running task, then its pictures. Clients take an event's type from
//! its data.

use super::answer::{self, Delivery};
use super::draw::Kind;
use super::error::{self, OpenAiError};
use super::fields::{Background, OutputFormat, Quality};
use crate::pictures::Framed;
use crate::service::{Progress, ProgressStream, Result, Status, Task, WatchOptions};
use crate::sse::{self, COMMENT, Text, beat, whole};
use crate::{App, Error, waiting, wire};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// The data of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImageEvent)]
pub(crate) struct ImageEvent {
    /// `image_generation.partial_image` or `image_generation.completed`; for edits with the prefix `image_edit.`
    #[serde(rename = "type")]
    kind: String,
    /// JPEG for previews, the requested format for pictures.
    b64_json: String,
    created_at: u64,
    /// The size of the picture or preview, such as `512x512`.
    size: String,
    quality: Quality,
    background: Background,
    output_format: OutputFormat,
    /// The number of the preview, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_image_index: Option<u32>,
}

/// The data of an event: a picture or a preview, or the error that ends the stream.
#[derive(Debug, ToSchema)]
#[schema(as = OpenAiStreamEvent)]
#[expect(dead_code, reason = "describes what the events say")]
#[serde(untagged)]
pub(crate) enum StreamEvent {
    Image(ImageEvent),
    Failure(FailureEvent),
}

/// The error that ends a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiFailureEvent)]
pub(crate) struct FailureEvent {
    #[serde(rename = "type")]
    #[schema(example = "error")]
    kind: &'static str,
    #[serde(flatten)]
    error: OpenAiError,
}

/// A stream that is being written.
struct Events {
    app: App,
    task: Task,
    delivery: Delivery,
    kind: Kind,
    /// The most previews.
    most: u32,
    sent: u32,
    reports: ProgressStream,
    pending: BoxFuture<'static, ()>,
    has_ended: bool,
}

/// The events of a task.
pub(super) async fn respond(app: App, task: Task, delivery: Delivery, kind: Kind, most: u32) -> Result<Response> {
    let options = WatchOptions { after: None, preview: most > 0 };
    let reports = app.service.watch(task.id.clone(), options).await?;
    let pending = beat(app.service.clone());
    let seed = [(wire::SEED, task.seed.to_string())];
    let events = Events { app, task, delivery, kind, most, sent: 0, reports, pending, has_ended: false };
    let text = stream::unfold(events, async |mut events| Some((events.next().await?, events)));
    Ok((seed, sse::respond(text.flatten().boxed())).into_response())
}

impl Events {
    async fn next(&mut self) -> Option<Text> {
        while !self.has_ended {
            let report = match select(self.reports.next(), &mut self.pending).await {
                Either::Left((Some(report), _)) => report,
                Either::Left((None, _)) => {
                    self.has_ended = true;
                    return Some(failure(&waiting::stopping()));
                }
                Either::Right(_) => {
                    self.pending = beat(self.app.service.clone());
                    return Some(whole(COMMENT.to_owned()));
                }
            };
            self.has_ended = report.status.is_final();
            let event = match report.status {
                Status::Completed => Some(self.completed().await.unwrap_or_else(|error| failure(&error))),
                Status::Cancelled => Some(failure(&Error::TaskCancelled)),
                Status::Error => Some(failure(&waiting::failed(report.error))),
                Status::Pending | Status::Processing => self.partial(&report),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// A preview, if the next one is due. They are evenly spaced over the steps.
    fn partial(&mut self, report: &Progress) -> Option<Text> {
        let preview = report.preview.as_ref()?;
        let due = u64::from(self.sent + 1) * u64::from(report.steps) / u64::from(self.most + 1);
        if self.sent == self.most || u64::from(report.step) < due || report.step >= report.steps {
            return None;
        }
        let (width, height) = crate::head::size(preview).unwrap_or_default();
        let event = ImageEvent {
            b64_json: wire::base64(preview),
            size: format!("{width}x{height}"),
            output_format: OutputFormat::Jpeg,
            partial_image_index: Some(self.sent),
            ..self.event("partial_image")
        };
        self.sent += 1;
        let data = serde_json::to_string(&event).ok()?;
        Some(whole(format!("event: {}\ndata: {data}\n\n", event.kind)))
    }

    /// The pictures, one per event.
    async fn completed(&mut self) -> Result<Text> {
        let task = self.app.service.task(self.task.id.clone()).await?;
        let mut texts = Vec::with_capacity(task.images.len());
        for id in task.images {
            let image = self.app.service.image(id).await?;
            let event = ImageEvent { size: answer::size(&self.app, &image).await?, ..self.event("completed") };
            let head = format!("event: {}\ndata: ", event.kind);
            let framed = Framed::json(&event, "b64_json", image)?.between(&head, "\n\n");
            texts.push(framed);
        }
        let app = self.app.clone();
        let opened = stream::iter(texts).then(move |framed| {
            let app = app.clone();
            async move {
                match framed.open(&*app.service).await {
                    Ok(text) => text.boxed(),
                    Err(error) => failure(&error),
                }
            }
        });
        Ok(opened.flatten().boxed())
    }

    fn event(&self, name: &str) -> ImageEvent {
        ImageEvent {
            kind: format!("{}.{name}", self.kind.prefix()),
            b64_json: String::new(),
            created_at: wire::seconds(self.task.created_at),
            size: String::new(),
            quality: self.delivery.quality,
            background: self.delivery.background,
            output_format: self.delivery.output,
            partial_image_index: None,
        }
    }
}

/// The event for an error, which OpenAI's packages raise.
fn failure(error: &Error) -> Text {
    let (_, error) = error::describe(error);
    let event = FailureEvent { kind: "error", error };
    whole(format!("event: {}\ndata: {}\n\n", event.kind, json!(event)))
}
