//! Errors in foreign bytes, before the name of their file is known.

/// Why bytes violate their format, in one line with what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);
