//! The routes as a hyper service that reports to its connection's [`Activity`] when requests, bodies and answers begin
//! and end, and whether the client reads its answer.

use super::activity::Activity;
use super::caps::{Connections, Turn};
use super::http2::Taking;
use crate::serve::request_id;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Error, Router};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{Request, Version};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::Service;

/// How long a client with too many requests at once should wait, in seconds.
const RETRY_AFTER: u32 = 1;

/// The longest piece passed to HTTP/2: what a stream holds while its client reads nothing.
const PIECE: usize = 16 << 10;

/// The routes for one connection.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) router: Router,
    pub(super) connections: Arc<Connections>,
    pub(super) activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Answering {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let id = request_id::establish(request.headers_mut());
        let turn = self.connections.begin(&self.activity, request.version() == Version::HTTP_2);
        let mut router = self.router.clone();
        Box::pin(async move {
            let mut response = if turn.is_admitted {
                let request = request.map(|body| Body::new(Upload::new(body, Arc::clone(&turn.activity))));
                let Ok(response) = router.call(request).await;
                response
            } else {
                busy()
            };
            request_id::answer(response.headers_mut(), id);
            let taking = Taking::current();
            Ok(response.map(|body| Answer { body, rest: Bytes::new(), is_offered: false, taking, turn }))
        })
    }
}

/// The answer to a request without room.
fn busy() -> Response {
    let headers = [(header::RETRY_AFTER, RETRY_AFTER.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "too many requests at once\n").into_response()
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    /// The rest of the last piece, if that was too long.
    rest: Bytes,
    /// Whether a piece waits for the client.
    is_offered: bool,
    /// Present for HTTP/2 streams.
    taking: Option<Arc<Taking>>,
    turn: Turn,
}

impl Answer {
    /// A frame, for HTTP/2 of at most [`PIECE`] bytes. In HTTP/1 the socket shows whether the client reads.
    fn offer(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if let Some(taking) = &self.taking {
            self.rest = data.split_off(data.len().min(PIECE));
            self.is_offered = true;
            self.turn.activity.piece_offered();
            taking.offered();
        }
        Frame::data(data)
    }

    fn take(&mut self) {
        if std::mem::take(&mut self.is_offered) {
            self.turn.activity.piece_taken();
            if let Some(taking) = &self.taking {
                taking.taken();
            }
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.take();
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.offer(rest))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => self.offer(data),
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.take();
    }
}

/// The body of a request.
struct Upload {
    body: Incoming,
    activity: Arc<Activity>,
    is_open: bool,
}

impl Upload {
    fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        let is_open = !body.is_end_stream();
        if is_open {
            activity.upload_began();
        }
        Self { body, activity, is_open }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.activity.upload_ended();
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.end();
    }
}
