//! The file of API keys: TOML with the hash of each key.
//!
//! ```toml
//! [[key]]
//! name = "gallery"                # its name in the log
//! sha256 = "2bb80d537b1da3e3..."  # of the key, 64 hexadecimal digits
//! rate = 60                       # optional: requests per minute
//! concurrency = 4                 # optional: requests at the same time
//! models = ["easel-emoji"]        # optional: the models that it may use, the first one by default
//! ```

use super::watched::follow;
use crate::serve::config::read_toml;
use crate::serve::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easel_contract::access::{Key, KeyRing, Keys};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The prefix of every key, by which people and secret scanners recognise it.
const PREFIX: &str = "easel_";

/// Reads the keys of a file.
pub(in crate::serve) fn read_keys(path: &Path) -> Result<Keys> {
    read_toml(path)
}

/// A new key with 256 random bits.
pub fn random_key() -> std::result::Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Adds a key to a file, which only its owner may read. Fails if the file is not a key file or has a key of this name.
pub fn append_key(path: &Path, key: &Key) -> Result<()> {
    let failed = |reason| Error::WriteKeys { path: path.to_owned(), reason };
    let known = if path.exists() { read_keys(path)? } else { Keys::default() };
    if known.iter().any(|other| other.name == key.name) {
        return Err(Error::KeyName { path: path.to_owned(), name: key.name.clone() });
    }
    let mut file = private(path).map_err(failed)?;
    file.write_all(key_entry(key).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// The file's entry for a key. Names are quoted as in JSON, which TOML can read.
pub fn key_entry(key: &Key) -> String {
    let name = serde_json::Value::from(key.name.as_str());
    format!("[[key]]\nname = {name}\nsha256 = \"{}\"\n\n", hex::encode(key.sha256))
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).create(true).open(path)
}

/// Reads the file again whenever it changes, for as long as the process lives.
pub async fn follow_keys(path: PathBuf, ring: KeyRing) {
    follow(vec![path.clone()], move || reload(&path, &ring)).await;
}

/// Replaces the keys with those of the file. If it cannot be read, the keys stay.
fn reload(path: &Path, ring: &KeyRing) {
    match read_keys(path) {
        Ok(keys) => {
            let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
            tracing::info!(?names, "API keys");
            if names.is_empty() {
                tracing::warn!(file = %path.display(), "no API keys in the file: requests are refused until there is one");
            }
            warn_if_others_may_read(path);
            ring.replace(keys);
        }
        Err(error) => tracing::error!(%error, "the API keys stay as they were"),
    }
}

/// Warns if other users may read or change a file of secrets.
#[cfg(unix)]
pub(in crate::serve) fn warn_if_others_may_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let file = path.display();
        tracing::warn!("{file} has mode {mode:03o}: other users may read or change it; run chmod 600 on it");
    }
}

#[cfg(not(unix))]
pub(in crate::serve) fn warn_if_others_may_read(_path: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ring: &KeyRing) -> Vec<String> {
        ring.get().iter().map(|key| key.name.clone()).collect()
    }

    #[test]
    fn a_new_key_is_random_and_its_entry_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = random_key().unwrap();
        assert_eq!((key.len(), &key[..PREFIX.len()]), (49, PREFIX));
        assert_ne!(key, random_key().unwrap());
        append_key(&path, &Key::new("a \"quoted\" \\ name", key.as_bytes())).unwrap();
        append_key(&path, &Key::new("b", b"second")).unwrap();
        let read = read_keys(&path).unwrap();
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("x-api-key", key.parse().unwrap());
        assert_eq!(read.of(&headers).unwrap().name, "a \"quoted\" \\ name");
        let refused = append_key(&path, &Key::new("b", b"third")).unwrap_err().to_string();
        assert!(refused.ends_with("keys.toml: there is a key named \"b\" already; choose another name"), "{refused}");
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&key));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        append_key(&path, &Key::new("a", b"first")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_changed_file_replaces_the_keys_and_a_bad_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        append_key(&path, &Key::new("a", b"first")).unwrap();
        let ring = KeyRing::default();
        reload(&path, &ring);
        assert_eq!(names(&ring), ["a"]);
        append_key(&path, &Key::new("b", b"second")).unwrap();
        reload(&path, &ring);
        assert_eq!(names(&ring), ["a", "b"]);
        std::fs::write(&path, "[[key]]\nname = 'c'\n").unwrap();
        reload(&path, &ring);
        assert_eq!(names(&ring), ["a", "b"]);
        std::fs::remove_file(&path).unwrap();
        reload(&path, &ring);
        assert_eq!(names(&ring), ["a", "b"]);
        std::fs::write(&path, "").unwrap();
        reload(&path, &ring);
        assert_eq!(names(&ring), [""; 0], "the last key can be revoked");
    }

    #[test]
    fn a_malformed_key_file_is_named_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, "[[key]]\nname = 'a'\nsha256 = 'short'\n").unwrap();
        let message = read_keys(&path).unwrap_err().to_string();
        assert!(message.contains("keys.toml: line 3: ") && message.contains("64 hexadecimal digits"), "{message}");
    }
}
