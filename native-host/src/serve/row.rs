//! A request as the queue keeps it: one line of JSON, then the bytes of the picture to start from.

use bytes::Bytes;
use easel_contract::service::{ImageRequest, InitImage};
use serde::{Deserialize, Serialize};

/// Mirrors [`ImageRequest`], which is no format.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ImageRequest")]
struct Fields {
    prompt: String,
    negative_prompt: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    steps: Option<u32>,
    guidance_scale: Option<f64>,
    seed: Option<u64>,
    scheduler: Option<String>,
    model: Option<String>,
    count: u32,
    #[serde(skip)]
    init: Option<InitImage>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(with = "Fields")]
    request: ImageRequest,
    strength: Option<f64>,
}

/// The bytes that an engine of the queue is given for a request.
pub fn encode_request(mut request: ImageRequest) -> Result<Vec<u8>, serde_json::Error> {
    let init = request.init.take();
    let mut row = serde_json::to_vec(&Row { request, strength: init.as_ref().map(|init| init.strength) })?;
    row.push(b'\n');
    row.extend_from_slice(init.as_ref().map_or(&[], |init| &init.bytes));
    Ok(row)
}

/// The request that was encoded by [`encode_request`].
pub fn decode_request(row: &[u8]) -> Result<ImageRequest, serde_json::Error> {
    // JSON of one line has no line end within.
    let end = row.iter().position(|byte| *byte == b'\n').unwrap_or(row.len());
    let Row { mut request, strength } = serde_json::from_slice(&row[..end])?;
    let bytes = || Bytes::copy_from_slice(row.get(end + 1..).unwrap_or_default());
    request.init = strength.map(|strength| InitImage { bytes: bytes(), strength });
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_asked_for() {
        let plain = ImageRequest { prompt: "two\nlines".into(), seed: Some(u64::MAX), count: 3, ..Default::default() };
        assert_eq!(decode_request(&encode_request(plain.clone()).unwrap()).unwrap(), plain);
        let init = InitImage { bytes: Bytes::from_static(b"\n\0\n"), strength: 0.25 };
        let with_init = ImageRequest { init: Some(init), guidance_scale: Some(7.5), ..plain };
        assert_eq!(decode_request(&encode_request(with_init.clone()).unwrap()).unwrap(), with_init);
    }

    #[test]
    fn what_another_version_kept_is_an_error() {
        assert!(decode_request(b"").is_err());
        assert!(decode_request(b"{\"prompt\":\"a\"}\n").is_err());
    }
}
