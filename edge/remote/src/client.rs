//! Calls an Easel host, with one request per call to the route of `easel_contract::calls`.

use crate::wit;
use bytes::Bytes;
use easel_contract::Error;
use easel_contract::calls::{Ask, Call, PATH};
use easel_contract::wit::Convert;
use serde::de::DeserializeOwned;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{FullBody, Response};

/// The address of the host if the environment has none.
const DEFAULT_URL: &str = "http://127.0.0.1:8100";

/// An answer with an unread body.
pub(crate) type Answer = Response;

/// Makes a call and reads the answer.
pub(crate) async fn call<T: DeserializeOwned + Convert<U>, U>(call: Ask<T>) -> Result<U, wit::Failure> {
    ask(call).await.map(T::convert).map_err(Error::convert)
}

/// Makes a call and returns the answer with an unread body.
pub(crate) async fn open(call: Call) -> Result<Answer, wit::Failure> {
    send(call).await.map_err(Error::convert)
}

/// Makes a call and reads the answer in the types of the contract.
pub(crate) async fn ask<T: DeserializeOwned>(call: Ask<T>) -> Result<T, Error> {
    let body = send(call.call).await?.into_body().bytes().await.map_err(unreachable)?;
    serde_json::from_slice(&body).map_err(|error| Error::internal(format!("the host's answer is malformed: {error}")))
}

async fn send(call: Call) -> Result<Answer, Error> {
    let url = std::env::var("EASEL_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
    let body = serde_json::to_vec(&call).map_err(Error::internal)?;
    // Without a key the host answers 401, which says what is missing.
    let key = std::env::var("EASEL_INTERNAL_KEY").unwrap_or_default();
    let request = http::Request::post(format!("{}{PATH}", url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", key.trim()))
        .body(FullBody::new(Bytes::from(body)))
        .map_err(|error| Error::internal(format!("EASEL_URL {url:?}: {error}")))?;
    let answer = spin_sdk::http::send(request).await.map_err(unreachable)?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let hint = match status.as_u16() {
        401 => "EASEL_INTERNAL_KEY must be the key in the host's --internal-key-file",
        404 => "it must be started with --internal-key-file",
        _ => "",
    };
    if !hint.is_empty() {
        return Err(Error::internal(format!("the host answered {status}: {hint}")));
    }
    let body = answer.into_body().bytes().await.map_err(unreachable)?;
    Err(serde_json::from_slice(&body).unwrap_or_else(|_| Error::internal(format!("the host answered {status}"))))
}

fn unreachable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("the host cannot be reached: {error}"))
}
