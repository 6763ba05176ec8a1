//! Server-sent events (WHATWG HTML, section 9.2) as text in pieces.
//!
//! Events are written here and not by axum, whose events are whole: one with a picture is sent while the picture is read.

use crate::service::{Result, Service};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// How often a stream says something at least: proxies close a connection that is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which says nothing and keeps the connection open.
pub(crate) const COMMENT: &str = ": \n\n";

/// Text in pieces: one event, or all of them.
pub(crate) type Text = BoxStream<'static, Result<Bytes>>;

/// Text that is there already.
pub(crate) fn whole(text: String) -> Text {
    stream::iter([Ok(text.into())]).boxed()
}

/// The time between two comments. One runs on while events come: a new one for each event would cost a component as much
/// as the event does.
pub(crate) fn beat(service: Arc<dyn Service>) -> BoxFuture<'static, ()> {
    async move { service.sleep(KEEP_ALIVE).await }.boxed()
}

/// The answer that carries events.
pub(crate) fn respond(events: Text) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Asks proxies that buffer (nginx) not to.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
