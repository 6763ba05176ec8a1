//! Requests and answers of the `fetch` kind around the contract's router.

use crate::engine::Engine;
use crate::worker::WorkerService;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use easel_contract::Settings;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use js_sys::{Array, Promise, Uint8Array};
use std::cell::RefCell;
use std::sync::Arc;
use tower::ServiceExt;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The HTTP interface of this worker.
#[wasm_bindgen]
pub struct Server(Router);

/// An answer whose body is read in pieces.
#[wasm_bindgen]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: Array,
    // Taken while a piece is awaited.
    body: RefCell<Option<BodyDataStream>>,
    left: Promise,
}

#[wasm_bindgen]
impl Server {
    /// The interface over the worker's object.
    #[wasm_bindgen(constructor)]
    pub fn new(engine: Engine) -> Self {
        Self(easel_contract::router(Arc::new(WorkerService::new(engine)), Settings::default()))
    }

    /// Answers a request; `target` is path and query, `headers` are pairs. `left` is settled when the client leaves. Request and
    /// answer are then dropped, as on a server, and the result is `undefined`.
    pub async fn fetch(
        &self,
        method: &str,
        target: &str,
        headers: Array,
        body: Vec<u8>,
        left: Promise,
    ) -> Result<Option<Answer>, JsValue> {
        let router = self.0.clone();
        let request = request(method, target, &headers, body).map_err(|error| JsValue::from_str(&error))?;
        let answering = std::pin::pin!(router.oneshot(request));
        let answered = select(answering, JsFuture::from(left.clone())).await;
        let Either::Left((Ok(response), _)) = answered else { return Ok(None) };
        let (parts, body) = response.into_parts();
        let text = |bytes: &[u8]| JsValue::from_str(&String::from_utf8_lossy(bytes));
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            Array::of2(&text(name.as_str().as_bytes()), &text(value.as_bytes()))
        };
        let headers = parts.headers.iter().map(pair).collect();
        let body = RefCell::new(Some(body.into_data_stream()));
        Ok(Some(Answer { status: parts.status.as_u16(), headers, body, left }))
    }
}

#[wasm_bindgen]
impl Answer {
    /// The headers as pairs.
    #[wasm_bindgen(getter)]
    pub fn headers(&self) -> Array {
        self.headers.clone()
    }

    /// The next piece of the body; `undefined` after the last one or if the client has left.
    pub async fn next(&self) -> Result<Option<Uint8Array>, JsValue> {
        let Some(mut body) = self.body.borrow_mut().take() else { return Ok(None) };
        let piece = match select(body.next(), JsFuture::from(self.left.clone())).await {
            Either::Left((piece, _)) => piece,
            Either::Right(_) => return Ok(None),
        };
        if piece.is_some() {
            *self.body.borrow_mut() = Some(body);
        }
        match piece.transpose() {
            Ok(piece) => Ok(piece.map(|bytes| Uint8Array::from(&*bytes))),
            Err(error) => Err(js_sys::Error::new(&error.to_string()).into()),
        }
    }
}

fn request(method: &str, target: &str, headers: &Array, body: Vec<u8>) -> Result<Request<Body>, String> {
    let method: Method = method.parse().map_err(|_| format!("method: {method:?} is not an HTTP method"))?;
    let uri: Uri = target.parse().map_err(|error| format!("url: {error}"))?;
    let mut request = Request::builder().method(method).uri(uri);
    for pair in headers.iter() {
        let pair = Array::from(&pair);
        if let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body)).map_err(|error| format!("headers: {error}"))
}
