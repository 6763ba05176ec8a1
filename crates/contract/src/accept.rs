//! Content negotiation (RFC 9110, section 12.5): how strongly a client prefers a media type.

use axum::http::{HeaderMap, header};

/// The weight that the client's `accept` gives to `media` by its exact name, or by `image/*` and the like; 0 if it does
/// not name it. `*/*` does not count: a client that accepts anything gets the route's default.
pub(crate) fn weight(headers: &HeaderMap, media: &str) -> f32 {
    let kind = media.split('/').next().unwrap_or_default();
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(','));
    ranges.fold(0.0, |best, range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let named = name == media || name.strip_suffix("/*").is_some_and(|prefix| prefix == kind);
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if named { f32::max(best, weight) } else { best }
    })
}

/// Whether the client prefers HTML to JSON, as browsers do.
pub fn prefers_page(headers: &HeaderMap) -> bool {
    weight(headers, "text/html") > weight(headers, "application/json")
}

/// Whether the client accepts a gzipped body.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && parts.find_map(|part| part.strip_prefix("q=")).is_none_or(|q| q.parse().unwrap_or(0.0) > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, header::HeaderValue::from_static(value))])
    }

    #[test]
    fn media_types_are_weighed() {
        let weight = |accept, media| weight(&headers(header::ACCEPT, accept), media);
        assert_eq!(weight("image/png", "image/png"), 1.0);
        assert_eq!(weight("IMAGE/*; q=0.5, application/json", "image/png"), 0.5);
        assert_eq!(weight("text/html,*/*;q=0.8", "image/png"), 0.0);
        assert_eq!(weight("image/png;q=x", "image/png"), 0.0);
    }

    #[test]
    fn gzip_may_be_refused() {
        let gzip = |value| gzip(&headers(header::ACCEPT_ENCODING, value));
        assert!(gzip("br, gzip") && gzip("gzip;q=0.1"));
        assert!(!gzip("br") && !gzip("gzip;q=0"));
    }
}
