//! What is wrong with foreign bytes, before it is known which file they are from.

/// Why bytes are not what their format demands, in one line with what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);
