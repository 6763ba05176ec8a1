//! Everything that can go wrong with a picture, in one list. Messages are one line and name the format or the field.

use crate::ImageFormat;

/// The result of everything fallible here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the picture crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file whose first bytes match no format that is read here.
    #[error("picture: begins with {start:02x?}, expected a {} file", available())]
    UnknownFormat {
        /// The first bytes, four at most.
        start: Vec<u8>,
    },
    /// A format that this build neither reads nor writes.
    #[error("picture: {} files are neither read nor written here, expected {}", format.name(), available())]
    NotAvailable {
        /// The format.
        format: ImageFormat,
    },
    /// A file that is broken, cut short, or of a kind that is not read.
    #[error("{}: {reason}", format.name())]
    File {
        /// The format that its first bytes announce.
        format: ImageFormat,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// A file that announces more pixels than [`Limits::pixels`](crate::Limits::pixels).
    #[error("{}: {width}x{height} pixels, expected at most {max}", format.name())]
    Pixels {
        /// The format.
        format: ImageFormat,
        /// The announced width.
        width: usize,
        /// The announced height.
        height: usize,
        /// The most pixels that are allowed.
        max: usize,
    },
    /// A file that needs more memory than [`Limits::bytes`](crate::Limits::bytes) while it is read.
    #[error("{}: {bytes} bytes when decoded, expected at most {max}", format.name())]
    Memory {
        /// The format.
        format: ImageFormat,
        /// What it needs.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A parameter has a value that is out of its range.
    #[error("{field}: {reason}")]
    Invalid {
        /// The parameter.
        field: &'static str,
        /// What was given and what is accepted.
        reason: String,
    },
    /// Pixels that are NaN or infinite.
    #[error("the picture holds a value that is not a finite number")]
    NotFinite,
}

impl Error {
    /// A parameter that is out of its range.
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

/// The formats that this build has, as `PNG, JPEG or WebP`.
pub(crate) fn available() -> String {
    let names: Vec<&str> = ImageFormat::available().map(ImageFormat::name).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}
