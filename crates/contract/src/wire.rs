//! Wire formats that several families share.

use crate::service::Status;
use axum::http::HeaderName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;
use std::time::SystemTime;

/// The header with the seed of the (first) picture.
pub const SEED: HeaderName = HeaderName::from_static("x-easel-seed");

/// A time as RFC 3339 in UTC.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A time as seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The progress in percent.
pub(crate) fn percent(status: Status, step: u32, steps: u32) -> u32 {
    match status {
        Status::Completed => 100,
        _ if steps == 0 => 0,
        _ => (u64::from(step) * 100 / u64::from(steps)).min(100) as u32,
    }
}

/// Whether a text has hexadecimal digits and nothing else.
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Bytes as base64.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Decodes base64, with or without the head of a `data:` URL.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let data = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,")?.1,
        None => text,
    };
    STANDARD.decode(data).ok()
}

/// Bytes that are base64 in JSON. They are decoded without copying the text first.
pub(crate) struct Base64(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64(Bytes::new()))
    }
}

impl Visitor<'_> for Base64 {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        from_base64(text).map(|bytes| Self(bytes.into())).ok_or_else(|| E::custom("must be base64"))
    }
}

/// Bytes as base64 in JSON, for serde.
pub(crate) mod base64_bytes {
    use super::{Base64, base64};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Base64::deserialize(deserializer).map(|bytes| bytes.0)
    }
}

/// Optional bytes as base64 in JSON, for serde.
pub(crate) mod base64_option {
    use super::{Base64, base64};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(base64).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Base64>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_ends_at_a_hundred() {
        assert_eq!(percent(Status::Pending, 0, 0), 0);
        assert_eq!(percent(Status::Processing, 7, 20), 35);
        assert_eq!(percent(Status::Processing, u32::MAX, u32::MAX), 100);
        assert_eq!(percent(Status::Completed, 0, 0), 100);
        assert_eq!(percent(Status::Error, 5, 20), 25);
    }

    #[test]
    fn base64_may_come_as_a_data_url() {
        assert_eq!(from_base64("AQID"), Some(vec![1, 2, 3]));
        assert_eq!(from_base64("data:image/png;base64,AQID"), Some(vec![1, 2, 3]));
        assert_eq!(from_base64("data:image/png,AQID"), None);
        assert_eq!(from_base64("A"), None);
    }
}
