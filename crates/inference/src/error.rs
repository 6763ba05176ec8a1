//! All errors of this crate. Messages are one line and name the field, file or tensor.

use crate::pipeline::gibibytes;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the inference crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An op got a tensor of an unsupported shape.
    #[error("{op}: expected {expected}, got shape {got:?}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The supported shape, in words.
        expected: String,
        /// The actual shape.
        got: Vec<usize>,
    },
    /// The tensor library failed underneath an op: out of device memory, an unsupported type.
    #[error("{op}: {reason}")]
    Backend {
        /// The op.
        op: &'static str,
        /// The library's message.
        reason: String,
    },
    /// The device does not exist or is not compiled in.
    #[error("device {device} is not available: {reason}")]
    Device {
        /// The requested device.
        device: String,
        /// The reason.
        reason: String,
    },
    /// The GPU was lost: unplugged, reset by a watchdog, or taken away by the browser. Its data is gone.
    #[error("the GPU was lost: {reason}")]
    DeviceLost {
        /// The message of the driver or browser.
        reason: String,
    },
    /// The device has too little memory for an op or a weight.
    #[error("out of device memory: {bytes} bytes requested, {in_use} in use; a smaller size or f16 weights need less")]
    OutOfMemory {
        /// The requested bytes.
        bytes: u64,
        /// The bytes in use, or the limit of one buffer.
        in_use: u64,
    },
    /// According to the plan, made before anything is loaded, the device has too little memory for the model.
    #[error(
        "not enough memory: at least {} needed, {} free; {advice}",
        gibibytes(*needed), gibibytes(*available)
    )]
    InsufficientMemory {
        /// Bytes needed at least.
        needed: u64,
        /// Bytes free.
        available: u64,
        /// Advice on what may help.
        advice: String,
    },
    /// A tensor of the model is missing in the file.
    #[error("{file}: tensor {name} is missing (expected shape {expected:?})")]
    MissingTensor {
        /// The file.
        file: String,
        /// Its full name.
        name: String,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// The file has tensors that the model does not have.
    #[error("{file}: {}: {}", count(names.len(), "unexpected tensor"), shorten(names))]
    ExtraTensors {
        /// The file.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor does not have the shape that the configuration implies.
    #[error("{file}: tensor {name} has shape {got:?}, expected {expected:?}")]
    TensorShape {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A tensor is stored in a type that cannot be read as a weight.
    #[error("{file}: tensor {name} is stored as {dtype}, expected F32, F16 or BF16")]
    TensorType {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// The type as written in the file.
        dtype: String,
    },
    /// A weight or a result is NaN or infinite.
    #[error("{what} holds a value that is not a finite number{hint}")]
    NotFinite {
        /// The tensor or the stage.
        what: String,
        /// Advice, starting with a separator, or nothing.
        hint: &'static str,
    },
    /// A file is malformed.
    #[error("{file}: {reason}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A field of a configuration file is missing or has an unsupported value.
    #[error("{file}: field {field}: {reason}")]
    Config {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// What was found, and what was expected.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A download failed.
    #[error("{url}: {reason}")]
    Network {
        /// The address.
        url: String,
        /// The status or the system's message.
        reason: String,
    },
    /// A download has another digest than announced.
    #[error("{file}: SHA-256 is {got}, expected {expected}")]
    Checksum {
        /// The file.
        file: String,
        /// The announced digest.
        expected: String,
        /// The digest of the download.
        got: String,
    },
    /// A field of a request has an invalid value.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's name in the request.
        field: &'static str,
        /// What is accepted, and what was found.
        reason: String,
    },
    /// A picture cannot be read, resized or written.
    #[error(transparent)]
    Picture(#[from] easel_picture::Error),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// A malformed file.
    pub fn format(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Format { file: file.into(), reason: reason.into() }
    }

    /// An invalid field of a request.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }

    /// A file that cannot be read or written.
    pub fn io(path: impl Into<String>, error: &std::io::Error) -> Self {
        Self::Io { path: path.into(), reason: error.to_string() }
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first few names, and the number of the others.
fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
