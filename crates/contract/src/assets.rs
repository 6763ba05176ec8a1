//! Static documents: with ETag, and gzipped for clients that accept it.
//!
//! Compression is done here and not by `tower-http`'s `CompressionLayer`, which compresses every answer again: at this
//! level that takes about a second per 10 MB of a page's modules. Here a document is compressed once, at the first
//! request, and is sent with its `content-length`. The layer would also bring an asynchronous runtime's types into the
//! component.

use crate::accept;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

/// A page may only use its own contents and call its own server.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A static document.
#[derive(Clone, Debug)]
pub struct Asset(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    media_type: HeaderValue,
    body: Bytes,
    etag: HeaderValue,
    policy: Option<&'static str>,
    gzip: OnceLock<Option<Bytes>>,
}

impl Asset {
    /// A document of a media type.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::with_policy(media_type, body.into(), None)
    }

    /// A document that is gzipped already. Fails if it is not.
    pub(crate) fn packed(media_type: &'static str, gzipped: &'static [u8]) -> std::io::Result<Self> {
        let mut body = Vec::new();
        GzDecoder::new(gzipped).read_to_end(&mut body)?;
        let asset = Self::new(media_type, body);
        asset.0.gzip.get_or_init(|| Some(Bytes::from_static(gzipped)));
        Ok(asset)
    }

    /// A self-contained page, with a policy that enforces it.
    pub(crate) fn page(body: &'static str) -> Self {
        Self::with_policy("text/html; charset=utf-8", Bytes::from_static(body.as_bytes()), Some(POLICY))
    }

    fn with_policy(media_type: &'static str, body: Bytes, policy: Option<&'static str>) -> Self {
        let etag = etag(&hex::encode(&Sha256::digest(&body)[..16]));
        let media_type = HeaderValue::from_static(media_type);
        Self(Arc::new(Inner { media_type, body, etag, policy, gzip: OnceLock::new() }))
    }

    /// The document, or 304 if the client has it. The first request waits for the compression of a long document.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let asset = &*self.0;
        let fixed = [
            (header::ETAG, asset.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept, accept-encoding")),
        ];
        if is_known(request, &asset.etag) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        // Files without a type of their own, such as models, do not get smaller.
        let may_gzip = accept::gzip(request) && asset.media_type != "application/octet-stream";
        let gzipped = if may_gzip { asset.gzip.get_or_init(|| compress(&asset.body)).clone() } else { None };
        let is_gzipped = gzipped.is_some();
        let body = gzipped.unwrap_or_else(|| asset.body.clone());
        let mut response = (fixed, [(header::CONTENT_TYPE, asset.media_type.clone())], body).into_response();
        let headers = response.headers_mut();
        if is_gzipped {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(policy) = asset.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        response
    }
}

/// The gzipped bytes, if that makes them fewer.
fn compress(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).ok()?;
    let gzipped = encoder.finish().ok()?;
    (gzipped.len() < body.len()).then(|| gzipped.into())
}

/// A weak ETag, because the same document is also sent compressed.
fn etag(digest: &str) -> HeaderValue {
    HeaderValue::try_from(format!("W/\"{digest}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// Whether `if-none-match` names this ETag by weak comparison.
pub(crate) fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(etag) = etag.to_str() else { return false };
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    #[test]
    fn a_known_document_is_not_sent_again() {
        let asset = Asset::new("text/plain", "a".repeat(1000));
        let etag = asset.respond(&HeaderMap::new()).headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(asset.respond(&request(header::IF_NONE_MATCH, &etag)).status(), StatusCode::NOT_MODIFIED);
        let several = format!("\"other\", {}", etag.trim_start_matches("W/"));
        assert_eq!(asset.respond(&request(header::IF_NONE_MATCH, &several)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asset.respond(&request(header::IF_NONE_MATCH, "\"other\"")).status(), StatusCode::OK);
    }

    #[test]
    fn clients_that_accept_gzip_get_it_where_it_helps() {
        let long = Asset::new("text/plain", "a".repeat(1000)).respond(&request(header::ACCEPT_ENCODING, "gzip"));
        assert_eq!(long.headers()[header::CONTENT_ENCODING], "gzip");
        let short = Asset::new("text/plain", "a").respond(&request(header::ACCEPT_ENCODING, "gzip"));
        assert!(!short.headers().contains_key(header::CONTENT_ENCODING));
    }
}
