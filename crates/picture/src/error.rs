//! The errors of the picture crate. Messages are one line and name the format or the field.

use crate::ImageFormat;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the picture crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file whose first bytes match no supported format.
    #[error("picture: begins with {start:02x?}, expected a {} file", available())]
    UnknownFormat {
        /// The first bytes, four at most.
        start: Vec<u8>,
    },
    /// A format that this build does not support.
    #[error("picture: this build does not support {} files, expected {}", format.name(), available())]
    NotAvailable {
        /// The format.
        format: ImageFormat,
    },
    /// A file that is broken, truncated, or of an unsupported kind.
    #[error("{}: {reason}", format.name())]
    File {
        /// The format, from its first bytes.
        format: ImageFormat,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A file that declares more pixels than [`Limits::pixels`](crate::Limits::pixels).
    #[error("{}: {width}x{height} pixels, expected at most {max}", format.name())]
    Pixels {
        /// The format.
        format: ImageFormat,
        /// The declared width.
        width: usize,
        /// The declared height.
        height: usize,
        /// The most pixels allowed.
        max: usize,
    },
    /// A file that takes more memory to decode than [`Limits::bytes`](crate::Limits::bytes).
    #[error("{}: {bytes} bytes when decoded, expected at most {max}", format.name())]
    Memory {
        /// The format.
        format: ImageFormat,
        /// The bytes it needs.
        bytes: usize,
        /// The most bytes allowed.
        max: usize,
    },
    /// A parameter that is out of range.
    #[error("{field}: {reason}")]
    Invalid {
        /// The parameter.
        field: &'static str,
        /// What was found, and what is expected.
        reason: String,
    },
    /// Pixels that are NaN or infinite.
    #[error("the picture holds a value that is not a finite number")]
    NotFinite,
}

impl Error {
    /// Makes an error of a parameter that is out of range.
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

/// The formats that this build supports, as in `PNG, JPEG or WebP`.
pub(crate) fn available() -> String {
    let names: Vec<&str> = ImageFormat::available().map(ImageFormat::name).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}
