//! Errors in foreign bytes, before the file that they are from is known.

/// Why bytes are not what their format demands, in one line with what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);
