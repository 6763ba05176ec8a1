//! Reads what configurations are in: TOML files, and files with a key.

use super::{Error, Result};
use easel_contract::calls::Key;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The shortest key of the internal route, in characters.
const KEY_MIN: usize = 16;

/// Reads a TOML file; an error names the line.
pub(in crate::serve) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let failed = |reason| Error::ReadConfig { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        Error::ParseConfig { path: path.to_owned(), reason: format!("{place}{}", error.message().replace('\n', " ")) }
    })
}

/// Reads a key from a file, without surrounding white space.
pub(super) fn read_key(path: &Path) -> Result<Key> {
    let failed = |reason| Error::ReadConfig { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let key = text.trim();
    if key.chars().count() < KEY_MIN {
        let reason = format!("a key must have at least {KEY_MIN} characters; `openssl rand -hex 32` makes one");
        return Err(Error::ParseConfig { path: path.to_owned(), reason });
    }
    Ok(Key::new(key))
}
