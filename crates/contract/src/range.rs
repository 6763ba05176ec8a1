//! Stored pictures over HTTP: strong ETag, conditional requests and one byte range (RFC 9110, sections 13 and 14).

use crate::Error;
use crate::assets::is_known;
use crate::service::{Image, Result, Service};
use crate::wire::SEED;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::ops::Range;

/// The bytes `range` of a picture, streamed.
async fn send(service: &dyn Service, image: &Image, range: Range<u64>) -> Result<Response> {
    let length = range.end - range.start;
    let mut response = Body::from_stream(service.read_image(image.id, range).await?).into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(&image.media_type).map_err(Error::internal)?;
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(SEED, image.seed.into());
    Ok(response)
}

/// The whole picture, streamed.
pub(crate) async fn whole(service: &dyn Service, image: &Image) -> Result<Response> {
    send(service, image, 0..image.size).await
}

/// The picture, the requested part, or 304 if the client has it.
pub(crate) async fn respond(service: &dyn Service, image: &Image, request: &HeaderMap) -> Result<Response> {
    let etag = HeaderValue::try_from(format!("\"{}\"", image.digest)).map_err(Error::internal)?;
    let mut response = if is_known(request, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match wanted(request, &etag, image.size)? {
            None => whole(service, image).await?,
            Some(range) => part(service, image, range).await?,
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // If the database is replaced, a number may mean another picture, so clients must revalidate.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The range of a request. A malformed header or several ranges select the whole picture, as the standard allows.
fn wanted(request: &HeaderMap, etag: &HeaderValue, size: u64) -> Result<Option<Range<u64>>> {
    let Some(range) = request.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Ok(None) };
    if request.get(header::IF_RANGE).is_some_and(|known| known != etag) {
        return Ok(None);
    }
    let Ok(parsed) = http_range_header::parse_range_header(range) else { return Ok(None) };
    if parsed.ranges.len() != 1 {
        return Ok(None);
    }
    // A suffix longer than the picture means all of it (RFC 9110, section 14.1.2), but the library refuses it.
    let suffix = range.strip_prefix("bytes=-").and_then(|length| length.parse::<u64>().ok());
    if suffix.is_some_and(|length| length >= size) && size > 0 {
        return Ok(Some(0..size));
    }
    match parsed.validate(size).as_deref() {
        Ok([range]) => Ok(Some(*range.start()..range.end() + 1)),
        _ => Err(Error::RangeNotSatisfiable { size }),
    }
}

async fn part(service: &dyn Service, image: &Image, range: Range<u64>) -> Result<Response> {
    let value = format!("bytes {}-{}/{}", range.start, range.end - 1, image.size);
    let value = HeaderValue::try_from(value).map_err(Error::internal)?;
    let mut response = send(service, image, range).await?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response.headers_mut().insert(header::CONTENT_RANGE, value);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_of(range: &str, if_range: Option<&str>) -> Result<Option<Range<u64>>> {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::try_from(range).unwrap());
        if let Some(tag) = if_range {
            request.insert(header::IF_RANGE, HeaderValue::try_from(tag).unwrap());
        }
        wanted(&request, &HeaderValue::from_static("\"a\""), 100)
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        assert_eq!(wanted_of("bytes=0-9", None), Ok(Some(0..10)));
        assert_eq!(wanted_of("bytes=90-", None), Ok(Some(90..100)));
        assert_eq!(wanted_of("bytes=-5", None), Ok(Some(95..100)));
        assert_eq!(wanted_of("bytes=0-1,5-6", None), Ok(None));
        assert_eq!(wanted_of("bytes=-0", None), Ok(None));
        assert_eq!(wanted_of("lines=0-1", None), Ok(None));
        assert_eq!(wanted_of("bytes=100-", None), Err(Error::RangeNotSatisfiable { size: 100 }));
        assert_eq!(wanted_of("bytes=0-9", Some("\"a\"")), Ok(Some(0..10)));
        assert_eq!(wanted_of("bytes=0-9", Some("\"b\"")), Ok(None));
    }

    #[test]
    fn f20_a_suffix_longer_than_the_picture_is_all_of_it() {
        for length in ["100", "101", "20000", "18446744073709551615"] {
            assert_eq!(wanted_of(&format!("bytes=-{length}"), None), Ok(Some(0..100)), "{length}");
        }
    }
}
