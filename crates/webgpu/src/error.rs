//! Everything that can go wrong on the GPU, in one line each.

/// Why a device could not be opened, or why a call on it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No adapter matches the choice.
    #[error("no GPU adapter matches {wanted}; found: {found}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// Names of the adapters there are.
        found: String,
    },
    /// The adapter refused to open a device.
    #[error("GPU {adapter} could not be opened: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The device is gone: removed, reset by a watchdog, or destroyed. [`crate::Context::reopen`] makes a new one.
    #[error("the GPU was lost: {reason}")]
    DeviceLost {
        /// The driver's or the browser's words.
        reason: String,
    },
    /// The device has no room for a buffer.
    #[error("GPU out of memory: {bytes} bytes asked for, {in_use} in use")]
    OutOfMemory {
        /// Size of the buffer that did not fit.
        bytes: u64,
        /// Bytes held by live buffers at that moment.
        in_use: u64,
    },
    /// A buffer is larger than the device allows.
    #[error("a GPU buffer of {bytes} bytes is over the device's limit of {limit}")]
    BufferTooLarge {
        /// Size asked for.
        bytes: u64,
        /// `max_buffer_size` of the device.
        limit: u64,
    },
    /// A range does not lie inside its buffer, or is not aligned.
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
        /// Alignment that start and length need.
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
        /// What it takes.
        expected: String,
        /// The shape that it was given.
        got: Vec<usize>,
    },
    /// A kernel's text was refused.
    #[error("kernel {kernel} does not compile: {reason}")]
    Kernel {
        /// Name of the kernel.
        kernel: &'static str,
        /// First lines of the compiler's message.
        reason: String,
    },
    /// A call that cannot be replayed was made while capturing.
    #[error("{what} can't be part of a captured plan")]
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
    /// The driver or wgpu reported an error of its own.
    #[error("GPU error: {reason}")]
    Device {
        /// Its words.
        reason: String,
    },
}

/// A driver's message on one line, cut where it gets long.
pub(crate) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
