//! Where a request came from: its id, which logs and answers share, and its trace.
//!
//! Both are headers, so that they pass through components and proxies unchanged. A host that makes ids or traces sets the
//! headers before a route sees the request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header with a request's place in a trace (<https://www.w3.org/TR/trace-context/#traceparent-header>).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is accepted from a client.
const LONGEST: usize = 128;

/// Where a task came from, for logs and traces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The id of the request that queued it.
    pub request_id: Option<String>,
    /// The span that queued it.
    pub traceparent: Option<String>,
}

/// The headers of a request that make its [`Origin`]. Cloning them copies no text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender {
    request_id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
}

impl Sender {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let traceparent = headers.get(TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        Self { request_id: request_id(headers).cloned(), traceparent: traceparent.cloned() }
    }

    /// The id of the request.
    pub(crate) fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// What tasks of this request remember; `None` if there is nothing to remember.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let text = |value: &Option<HeaderValue>| Some(value.as_ref()?.to_str().ok()?.to_owned());
        let request_id = text(&self.request_id);
        let traceparent = text(&self.traceparent);
        (request_id.is_some() || traceparent.is_some()).then_some(Origin { request_id, traceparent })
    }
}

/// A request's id, if it has one that is well-formed: up to 128 letters, digits and `-_.:+/=`. Other characters could
/// forge a log.
pub fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    let is_well_formed = |id: &[u8]| (1..=LONGEST).contains(&id.len()) && id.iter().all(fits);
    headers.get(REQUEST_ID).filter(|id| is_well_formed(id.as_bytes()))
}

/// Whether this is a `traceparent` of version 00, the only one there is.
fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    match parts[..] {
        [b"00", trace, span, flags] => {
            let has_lengths = trace.len() == 32 && span.len() == 16 && flags.len() == 2;
            has_lengths && [trace, span, flags].into_iter().all(is_hex) && !is_zero(trace) && !is_zero(span)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn ids_that_could_forge_a_log_are_not_taken() {
        let longest = "a".repeat(LONGEST);
        for good in ["7", "0af7651916cd43dd", "a-b_c.d:e+f/g=", longest.as_str()] {
            assert_eq!(request_id(&headers(REQUEST_ID, good)).unwrap(), good);
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", " a", "a b", "a\"b", "a,b", "é", long.as_str()] {
            assert_eq!(request_id(&headers(REQUEST_ID, bad)), None, "{bad:?}");
        }
        assert_eq!(request_id(&HeaderMap::new()), None);
    }

    #[test]
    fn only_a_valid_trace_is_remembered() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let origin = |value| Sender::of(&headers(TRACEPARENT, value)).origin();
        assert_eq!(origin(good).unwrap().traceparent.as_deref(), Some(good));
        for bad in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
