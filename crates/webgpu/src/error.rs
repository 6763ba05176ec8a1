//! All errors of the GPU runtime. Messages are one line.

/// Why a device could not be opened, or why a call on it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No adapter matches the choice.
    #[error("no GPU adapter matches {wanted}; found: {found}")]
    NoAdapter {
        /// The requested adapter.
        wanted: String,
        /// The names of the available adapters.
        found: String,
    },
    /// The adapter refused to open a device.
    #[error("GPU {adapter} could not be opened: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The driver's message.
        reason: String,
    },
    /// The device was lost: removed, reset by a watchdog, or destroyed. [`crate::Context::reopen`] opens a new one.
    #[error("the GPU was lost: {reason}")]
    DeviceLost {
        /// The driver's or the browser's message.
        reason: String,
    },
    /// The device has too little memory for a buffer.
    #[error("GPU out of memory: {bytes} bytes requested, {in_use} in use")]
    OutOfMemory {
        /// Size of the buffer that did not fit.
        bytes: u64,
        /// Bytes in use by live buffers.
        in_use: u64,
    },
    /// A buffer is larger than the device allows.
    #[error("a GPU buffer of {bytes} bytes is over the device's limit of {limit}")]
    BufferTooLarge {
        /// The requested size.
        bytes: u64,
        /// `max_buffer_size` of the device.
        limit: u64,
    },
    /// A range is not inside its buffer, or is not aligned.
    #[error("{what} of bytes {start}..{end} does not fit a buffer of {size} bytes, or is not a multiple of {align}")]
    Range {
        /// The call.
        what: &'static str,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Size of the buffer.
        size: u64,
        /// The required alignment of start and length.
        align: u64,
    },
    /// A dispatch does not fit the device or breaks a rule of WebGPU.
    #[error("kernel {kernel}: {reason}")]
    Dispatch {
        /// Name of the kernel.
        kernel: &'static str,
        /// The rule, with the numbers.
        reason: String,
    },
    /// Shapes or formats do not fit an op.
    #[error("{op}: expected {expected} got shape {got:?}")]
    Shape {
        /// Name of the op.
        op: &'static str,
        /// What it accepts.
        expected: String,
        /// The actual shape.
        got: Vec<usize>,
    },
    /// The compiler rejected a kernel.
    #[error("kernel {kernel} does not compile: {reason}")]
    Kernel {
        /// Name of the kernel.
        kernel: &'static str,
        /// First lines of the compiler's message.
        reason: String,
    },
    /// A call that cannot be replayed was made while capturing.
    #[error("{what} cannot be part of a captured plan")]
    Capture {
        /// The call.
        what: &'static str,
    },
    /// The device lacks a feature that the call needs.
    #[error("this GPU has no {feature}")]
    Unsupported {
        /// Name of the feature.
        feature: &'static str,
    },
    /// The driver or wgpu reported another error.
    #[error("GPU error: {reason}")]
    Device {
        /// The message.
        reason: String,
    },
}

/// A driver's message on one line, truncated if it is long.
pub(crate) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
