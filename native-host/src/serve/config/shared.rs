//! Where several hosts have their tasks and pictures.

use super::{Config, Error, Result, within};
use serde::Deserialize;
use std::fmt;

/// Where several hosts have their tasks and pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The database of the tasks: `postgres://USER:PASSWORD@HOST/NAME`.
    pub store: SecretUrl,
    /// The object store of the pictures, such as `s3://BUCKET/PREFIX`.
    pub pictures: SecretUrl,
}

/// A URL that may contain a password, so it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL")
    }
}

impl Shared {
    /// Both URLs or neither.
    pub(super) fn both(store: Option<SecretUrl>, pictures: Option<SecretUrl>) -> Result<Option<Self>> {
        let lone = |field, other| {
            Err(Error::Setting {
                field,
                reason: format!("needs {other}: several hosts share both their tasks and their pictures"),
            })
        };
        match (store, pictures) {
            (Some(store), Some(pictures)) => Ok(Some(Self { store, pictures })),
            (None, None) => Ok(None),
            (Some(_), None) => lone("store", "pictures"),
            (None, Some(_)) => lone("pictures", "store"),
        }
    }
}

impl Config {
    /// Fails on settings of several hosts that do not fit each other, or this program.
    pub(super) fn check_shared(&self) -> Result<()> {
        if self.shared.is_some() && !cfg!(feature = "cluster") {
            let reason = "cannot be used by this build: build it with the cargo feature `cluster`".into();
            return Err(Error::Setting { field: "store", reason });
        }
        within("lease", self.lease.as_secs(), 2, 3600)?;
        // Others draw what a host without engines accepts.
        within("engines", self.engines, usize::from(self.shared.is_none()), 64)
    }
}
