//! Requests and answers of the `fetch` kind around the contract's router.

use super::engine::Engine;
use super::worker::WorkerService;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use easel_contract::Settings;
use futures_util::stream::StreamExt;
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::sync::Arc;
use tower::ServiceExt;
use wasm_bindgen::prelude::*;

/// The HTTP interface of this worker.
#[wasm_bindgen]
pub struct Server(Router);

/// An answer whose body is read piece by piece.
#[wasm_bindgen]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: Array,
    // Taken while a piece is awaited.
    body: RefCell<Option<BodyDataStream>>,
}

#[wasm_bindgen]
impl Server {
    /// The interface over what the worker hands in.
    #[wasm_bindgen(constructor)]
    pub fn new(engine: Engine) -> Self {
        Self(easel_contract::router(Arc::new(WorkerService::new(engine)), Settings::default()))
    }

    /// Answers a request; `target` is path and query, `headers` are pairs.
    pub async fn fetch(&self, method: &str, target: &str, headers: Array, body: Vec<u8>) -> Result<Answer, JsValue> {
        let router = self.0.clone();
        let request = request(method, target, &headers, body).map_err(|error| JsValue::from_str(&error))?;
        let Ok(response) = router.oneshot(request).await;
        let (parts, body) = response.into_parts();
        let text = |bytes: &[u8]| JsValue::from_str(&String::from_utf8_lossy(bytes));
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            Array::of2(&text(name.as_str().as_bytes()), &text(value.as_bytes()))
        };
        let headers = parts.headers.iter().map(pair).collect();
        let body = RefCell::new(Some(body.into_data_stream()));
        Ok(Answer { status: parts.status.as_u16(), headers, body })
    }
}

#[wasm_bindgen]
impl Answer {
    /// The headers as pairs.
    #[wasm_bindgen(getter)]
    pub fn headers(&self) -> Array {
        self.headers.clone()
    }

    /// The next piece of the body; `undefined` after the last one.
    pub async fn next(&self) -> Result<Option<Uint8Array>, JsValue> {
        let Some(mut body) = self.body.borrow_mut().take() else { return Ok(None) };
        let piece = body.next().await;
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
    let method: Method = method.parse().map_err(|_| format!("method: {method:?} is not one of HTTP's"))?;
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
