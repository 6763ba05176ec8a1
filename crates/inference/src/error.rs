//! Everything that can go wrong in this crate, in one list. Messages are one line and name the field, file or tensor.

use crate::pipeline::gibibytes;

/// The result of everything fallible here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the inference crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An op got a tensor of a shape that it cannot work on.
    #[error("{op}: expected {expected}, got shape {got:?}")]
    Shape {
        /// The op.
        op: &'static str,
        /// What it needed, in words.
        expected: String,
        /// What it got.
        got: Vec<usize>,
    },
    /// The tensor library failed underneath an op: out of device memory, an unsupported type.
    #[error("{op}: {reason}")]
    Backend {
        /// The op.
        op: &'static str,
        /// What the library said.
        reason: String,
    },
    /// The device is not there or not compiled in.
    #[error("device {device} is not available: {reason}")]
    Device {
        /// The device as it was asked for.
        device: String,
        /// Why not.
        reason: String,
    },
    /// The GPU is gone: unplugged, reset by a watchdog, or taken away by the browser. What was on it is lost.
    #[error("the GPU was lost: {reason}")]
    DeviceLost {
        /// What the driver or the browser said.
        reason: String,
    },
    /// The device has no room for what an op or a weight needs.
    #[error("out of device memory: {bytes} bytes asked for, {in_use} in use; a smaller size or f16 weights need less")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
        /// What was in use then, or the most that one buffer may have.
        in_use: u64,
    },
    /// A plan says that the device has no room for the model, before anything is loaded.
    #[error(
        "not enough memory: at least {} needed, {} free; {advice}",
        gibibytes(*needed), gibibytes(*available)
    )]
    InsufficientMemory {
        /// Bytes of the smallest way to hold it.
        needed: u64,
        /// Bytes that there are.
        available: u64,
        /// What may help.
        advice: String,
    },
    /// A tensor that the model needs is not in the file.
    #[error("{file}: tensor {name} is missing (expected shape {expected:?})")]
    MissingTensor {
        /// Where it should have been.
        file: String,
        /// Its full name.
        name: String,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// The file has tensors that the model has no place for.
    #[error("{file}: {} that this model has no place for: {}", count(names.len(), "tensor"), shorten(names))]
    ExtraTensors {
        /// Where they are.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor has another shape than the configuration implies.
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
        /// The type as the file spells it.
        dtype: String,
    },
    /// A weight or a result is NaN or infinite.
    #[error("{what} holds a value that is not a finite number{hint}")]
    NotFinite {
        /// The tensor or the stage.
        what: String,
        /// What may help, starting with a separator, or nothing.
        hint: &'static str,
    },
    /// A file is not what its format demands.
    #[error("{file}: {reason}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// A field of a configuration file is missing or has a value that is not supported.
    #[error("{file}: field {field}: {reason}")]
    Config {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A download failed.
    #[error("{url}: {reason}")]
    Network {
        /// The address.
        url: String,
        /// The status or what the system said.
        reason: String,
    },
    /// A download arrived, but is not what was announced.
    #[error("{file}: SHA-256 is {got}, expected {expected}")]
    Checksum {
        /// The file.
        file: String,
        /// The announced digest.
        expected: String,
        /// The digest of what arrived.
        got: String,
    },
    /// A field of a request has a value out of its range.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field as the request spells it.
        field: &'static str,
        /// What was given and what is accepted.
        reason: String,
    },
    /// A picture that cannot be read, resized or written.
    #[error(transparent)]
    Picture(#[from] easel_picture::Error),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// A file that is not what its format demands.
    pub fn format(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Format { file: file.into(), reason: reason.into() }
    }

    /// A request field that is out of its range.
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

/// The first few names and how many more there are.
fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
