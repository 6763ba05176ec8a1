//! `POST /v1/images/generations`: pictures from a text.

use super::answer::ImagesResponse;
use super::draw::{Asker, Kind, Wish, draw};
use super::error::OpenAiError;
use super::stream::StreamEvent;
use crate::extract::JsonBody;
use crate::service::Result;
use axum::response::Response;

/// Draw pictures, as OpenAI's clients request them.
///
/// The answer is sent when they are drawn, or as a stream of server-sent events. If the client disconnects, its task is
/// cancelled.
#[utoipa::path(post, path = "/v1/images/generations", tag = "openai", request_body = Wish,
    responses((status = 200, content((ImagesResponse = "application/json"), (StreamEvent = "text/event-stream")),
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 400, body = OpenAiError, description = "a field is wrong"),
              (status = 404, body = OpenAiError, description = "no such model"),
              (status = 409, body = OpenAiError, description = "cancelled by another client"),
              (status = 429, body = OpenAiError, description = "the queue is full"),
              (status = 503, body = OpenAiError, description = "shutting down")))]
pub(crate) async fn generations(asker: Asker, JsonBody(wish): JsonBody<Wish>) -> Result<Response> {
    draw(asker, wish, None, Kind::Generation).await
}
