//! API keys. A deployment stores the SHA-256 of each key, never the key itself. Keys are random, so a slow password
//! hash is not needed.
//!
//! Clients send a key as `authorization: Bearer KEY`, as `x-api-key: KEY`, or as the password of `authorization: Basic`
//! (RFC 7617) under any user name. Browsers prompt for the last one, so the pages work on servers with keys too.

use crate::Error;
use crate::service::Result;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;

/// A client's key and its permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name in the log.
    pub name: String,
    /// The SHA-256 of the key.
    #[serde(with = "hexadecimal")]
    pub sha256: [u8; 32],
    /// The most requests per minute; `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// The most concurrent requests, until their answers have been read; `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// The models that it may use, the first one being its default; `None` for all models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
}

impl Key {
    /// A key without limits, from its text.
    pub fn new(name: impl Into<String>, key: &[u8]) -> Self {
        Self { name: name.into(), sha256: digest(key), rate: None, concurrency: None, models: None }
    }
}

/// The SHA-256 of a key.
pub fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        let decoded = hex::decode_to_slice(&text, &mut digest);
        decoded.map_err(|_| D::Error::custom("sha256 must be the SHA-256 of a key: 64 hexadecimal digits"))?;
        Ok(digest)
    }
}

/// All keys of a deployment. If there are none, every request is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Arc<[Arc<Key>]>);

/// The document with keys, as it is in a file or an environment variable.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    #[serde(default = "Vec::new")]
    key: Vec<T>,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Document::<Key>::deserialize(deserializer)?.key;
        for (index, key) in keys.iter().enumerate() {
            let name = &key.name;
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(D::Error::custom(format_args!("the name of a key must be visible text, got {name:?}")));
            }
            if keys[..index].iter().any(|other| other.name == *name) {
                return Err(D::Error::custom(format_args!("two keys have the name {name:?}")));
            }
            if let Some(other) = keys[..index].iter().find(|other| other.sha256 == key.sha256) {
                return Err(D::Error::custom(format_args!("the keys {:?} and {name:?} are the same", other.name)));
            }
            if key.models.as_ref().is_some_and(Vec::is_empty) {
                return Err(D::Error::custom(format_args!(
                    "models of the key {name:?} must name a model, or be left out"
                )));
            }
        }
        Ok(keys.into_iter().collect())
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document { key: self.0.iter().map(|key| &**key).collect() }.serialize(serializer)
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<T: IntoIterator<Item = Key>>(keys: T) -> Self {
        Self(keys.into_iter().map(Arc::new).collect())
    }
}

impl Keys {
    /// Iterates over all keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|key| &**key)
    }

    /// The key that a request carries.
    ///
    /// # Errors
    /// [`Error::KeyRequired`], [`Error::KeyUnknown`].
    pub fn of(&self, headers: &HeaderMap) -> Result<Arc<Key>> {
        let shown = [authorization(headers), api_key(headers)];
        let mut shown = shown.into_iter().flatten().peekable();
        if shown.peek().is_none() {
            return Err(Error::KeyRequired);
        }
        shown.find_map(|key| self.find(&key)).ok_or(Error::KeyUnknown)
    }

    /// All keys are compared, each in constant time, so that the duration reveals nothing about any of them.
    fn find(&self, shown: &[u8]) -> Option<Arc<Key>> {
        let shown = digest(shown);
        let fits = |found: Option<_>, key| if bool::from(same(key, &shown)) { Some(key) } else { found };
        self.0.iter().fold(None, fits).cloned()
    }
}

fn same(key: &Arc<Key>, digest: &[u8; 32]) -> subtle::Choice {
    key.sha256.ct_eq(digest)
}

fn authorization(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => value.trim().as_bytes().to_vec(),
        "basic" => {
            let pair = STANDARD.decode(value.trim()).ok()?;
            let colon = pair.iter().position(|byte| *byte == b':')?;
            pair[colon + 1..].to_vec()
        }
        _ => return None,
    };
    (!key.is_empty()).then_some(key)
}

fn api_key(headers: &HeaderMap) -> Option<Vec<u8>> {
    let key = headers.get("x-api-key")?.as_bytes();
    (!key.is_empty()).then(|| key.to_vec())
}

/// The keys that are currently valid. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Arc<RwLock<Keys>>);

impl KeyRing {
    /// A ring with these keys.
    pub fn new(keys: Keys) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    /// The current keys.
    pub fn get(&self) -> Keys {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces all keys.
    pub fn replace(&self, keys: Keys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl PartialEq for KeyRing {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn keys() -> Keys {
        [Key::new("a", b"first"), Key::new("b", b"sec:ond")].into_iter().collect()
    }

    fn named(headers: &[(HeaderName, &str)]) -> Result<String> {
        let pair = |(name, value): &(HeaderName, &str)| (name.clone(), HeaderValue::try_from(*value).unwrap());
        Ok(keys().of(&headers.iter().map(pair).collect())?.name.clone())
    }

    const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

    #[test]
    fn a_key_comes_in_three_ways() {
        assert_eq!(named(&[(header::AUTHORIZATION, "Bearer first")]), Ok("a".into()));
        assert_eq!(named(&[(header::AUTHORIZATION, "bearer  first ")]), Ok("a".into()));
        assert_eq!(named(&[(API_KEY, "sec:ond")]), Ok("b".into()));
        for user in ["", "anybody"] {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:sec:ond")));
            assert_eq!(named(&[(header::AUTHORIZATION, &basic)]), Ok("b".into()));
        }
        assert_eq!(named(&[(header::AUTHORIZATION, "Bearer other"), (API_KEY, "first")]), Ok("a".into()));
    }

    #[test]
    fn a_missing_key_and_a_wrong_key_are_different_errors() {
        for empty in ["", "Basic ", "Bearer ", "Bearer", "Basic !", "Digest first", "first"] {
            assert_eq!(named(&[(header::AUTHORIZATION, empty)]), Err(Error::KeyRequired), "{empty:?}");
        }
        assert_eq!(named(&[]), Err(Error::KeyRequired));
        for wrong in ["firs", "first1", "FIRST"] {
            assert_eq!(named(&[(API_KEY, wrong)]), Err(Error::KeyUnknown));
        }
        let digest = hex::encode(digest(b"first"));
        assert_eq!(named(&[(API_KEY, &digest)]), Err(Error::KeyUnknown), "a hash is not a key");
        assert_eq!(
            Keys::default().of(&HeaderMap::from_iter([(API_KEY, "first".try_into().unwrap())])),
            Err(Error::KeyUnknown)
        );
    }

    #[test]
    fn errors_of_a_document_say_what_is_wrong() {
        let read = |text: &str| serde_json::from_str::<Keys>(text).map_err(|error| error.to_string());
        let entry = |name: &str, key: &[u8]| format!(r#"{{"name":{name:?},"sha256":"{}"}}"#, hex::encode(digest(key)));
        let document = |entries: &[String]| format!(r#"{{"key":[{}]}}"#, entries.join(","));
        assert_eq!(read("{}").unwrap(), Keys::default());
        let two = read(&document(&[entry("a", b"first"), entry("b", b"sec:ond")])).unwrap();
        assert_eq!(two, keys());
        assert_eq!(read(&serde_json::to_string(&two).unwrap()), Ok(two));
        let refused = |text: &str| read(text).unwrap_err();
        assert!(refused(r#"{"key":[{"name":"a","sha256":"first"}]}"#).contains("64 hexadecimal digits"));
        assert!(refused(&document(&[entry("a", b"1"), entry("a", b"2")])).contains("two keys have the name \"a\""));
        assert!(
            refused(&document(&[entry("a", b"1"), entry("b", b"1")])).contains("the keys \"a\" and \"b\" are the same")
        );
        assert!(refused(&document(&[entry("", b"1")])).contains("visible text"));
        assert!(refused(r#"{"keys":[]}"#).contains("unknown field `keys`"));
    }
}
