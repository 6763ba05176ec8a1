//! Memory for request bodies: a large body is read once there is room for it, and refused if that takes too long.

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use easel_contract::Grant;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A body of at most this many bytes is small: thousands of them need no more memory than a few large ones.
const SMALL: usize = 256 << 10;

/// The unit in which bytes are counted.
const UNIT: usize = 64 << 10;

/// How long a body waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a refused client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 5;

/// The memory that all large bodies share.
#[derive(Debug)]
pub(in crate::serve) struct Budget {
    /// In units of [`UNIT`] bytes.
    units: Arc<Semaphore>,
    /// The longest body in bytes.
    limit: usize,
    patience: Duration,
}

impl Budget {
    /// A budget of this many bytes, or of `limit`, the longest single body, if that is more.
    pub(in crate::serve) fn new(bytes: usize, limit: usize) -> Self {
        let units = bytes.max(limit).div_ceil(UNIT);
        Self { units: Arc::new(Semaphore::new(units)), limit, patience: PATIENCE }
    }

    /// A request once there is room for its body, or the refusal. The room is freed when the body has been parsed.
    pub(in crate::serve) async fn admit(&self, request: Request) -> Result<Request, Response> {
        let (mut parts, body) = request.into_parts();
        let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (body, most) = match declared {
            Some(bytes) => (body, bytes),
            None if body.is_end_stream() || parts.method == Method::GET || parts.method == Method::HEAD => (body, 0),
            None => read_start(body, self.limit).await,
        };
        // The route refuses longer ones before reading them, with its own family's error.
        if most > SMALL && most <= self.limit {
            let granted = self.grant(most).await.ok_or_else(refusal)?;
            parts.extensions.insert(Grant::new(granted));
        }
        Ok(Request::from_parts(parts, body))
    }

    async fn grant(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.min(self.limit).div_ceil(UNIT)).ok()?;
        let granted = timeout(self.patience, Arc::clone(&self.units).acquire_many_owned(units)).await;
        granted.ok()?.ok()
    }
}

/// A body of undeclared length, read until it ends or is no longer small, and the most bytes that it may have.
async fn read_start(body: Body, limit: usize) -> (Body, usize) {
    let mut rest = body.into_data_stream();
    let mut pieces: Vec<Result<Bytes, axum::Error>> = Vec::new();
    let mut length = 0;
    while length <= SMALL {
        match rest.next().await {
            None => return (Body::from_stream(stream::iter(pieces)), length),
            Some(Ok(piece)) => {
                length += piece.len();
                pieces.push(Ok(piece));
            }
            // The error stays in its place in the body, for the route to report.
            Some(error) => {
                pieces.push(error);
                return (Body::from_stream(stream::iter(pieces)), length);
            }
        }
    }
    let whole: BoxStream<'static, _> = stream::iter(pieces).chain(rest).boxed();
    (Body::from_stream(whole), limit)
}

/// An error that clients of every route family understand, since no route has seen the request.
fn refusal() -> Response {
    let message = format!("too many large requests at the same time, try again in {RETRY_AFTER} s");
    let body = json!({ "status": "error", "message": message, "detail": message, "error": message });
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER.to_string())], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use tower::ServiceExt;

    /// The status of a route that reads the body.
    async fn answer(budget: &Budget, request: Request) -> StatusCode {
        let length = async |body: Bytes| body.len().to_string();
        match budget.admit(request).await {
            Ok(request) => Router::new().route("/", post(length)).oneshot(request).await.unwrap().status(),
            Err(refusal) => refusal.status(),
        }
    }

    async fn send(budget: &Budget, body: Body) -> StatusCode {
        answer(budget, Request::post("/").body(body).unwrap()).await
    }

    fn chunked(length: usize) -> Body {
        Body::from_stream(stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![0; length])), Ok(Bytes::new())]))
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_passed_on_with_its_error() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"{")), Err(axum::Error::new("the client left"))]);
        let body = Body::from_stream(pieces.chain(stream::pending()));
        assert_eq!(send(&Budget::new(1 << 20, 1 << 20), body).await, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn f4_large_bodies_wait_for_room_and_small_ones_do_not() {
        let mut budget = Budget::new(2 << 20, 1 << 20);
        budget.patience = Duration::from_millis(10);
        let large = || chunked(1 << 20);
        assert_eq!(send(&budget, large()).await, StatusCode::OK);
        let held = budget.grant(1 << 20).await;
        assert_eq!(send(&budget, large()).await, StatusCode::OK, "there is room for two");
        let another = budget.grant(1 << 20).await;
        assert_eq!(send(&budget, large()).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(send(&budget, chunked(SMALL + 1)).await, StatusCode::SERVICE_UNAVAILABLE, "it may become large");
        assert_eq!(send(&budget, chunked(SMALL)).await, StatusCode::OK);
        assert_eq!(send(&budget, Body::empty()).await, StatusCode::OK);
        let declared = Request::post("/").header(header::CONTENT_LENGTH, 1 << 20).body(large()).unwrap();
        assert_eq!(answer(&budget, declared).await, StatusCode::SERVICE_UNAVAILABLE);
        drop((held, another));
        assert_eq!(send(&budget, chunked(1 << 19)).await, StatusCode::OK);
    }
}
