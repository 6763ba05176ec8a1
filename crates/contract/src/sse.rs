//! Server-sent events (WHATWG HTML, section 9.2) as text in pieces.
//!
//! Events are not written by axum, because its events are complete in memory. Here an event with a picture is sent
//! while the picture is read.

use crate::service::{Result, Service};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// The longest silence of a stream, because proxies close idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An empty comment, which keeps the connection open.
pub(crate) const COMMENT: &str = ": \n\n";

/// Text in pieces: one event or a whole stream of them.
pub(crate) type Text = BoxStream<'static, Result<Bytes>>;

/// Text in a single piece.
pub(crate) fn whole(text: String) -> Text {
    stream::iter([Ok(text.into())]).boxed()
}

/// The time between two comments. It keeps running while events are sent: starting it anew for each event would cost a
/// component as much as the event itself.
pub(crate) fn beat(service: Arc<dyn Service>) -> BoxFuture<'static, ()> {
    async move { service.sleep(KEEP_ALIVE).await }.boxed()
}

/// The response that carries events.
pub(crate) fn respond(events: Text) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Tells buffering proxies such as nginx not to buffer.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
