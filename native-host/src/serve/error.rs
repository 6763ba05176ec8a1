//! Why the service cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the service cannot start. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file cannot be read.
    #[error("{}: {reason}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The configuration file is not what it should be.
    #[error("{}: {reason}", path.display())]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        reason: String,
    },
    /// The folder of the page cannot be read.
    #[error("{}: {reason}", path.display())]
    ReadSite {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("{field}: {reason}")]
    Setting {
        /// The setting as the configuration file spells it.
        field: &'static str,
        /// What was found and what is expected.
        reason: String,
    },
    /// A model is not known.
    #[error(transparent)]
    Model(#[from] crate::names::UnknownModel),
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] easel_inference::Error),
    /// The queue or its store cannot be opened.
    #[error(transparent)]
    Jobs(#[from] easel_jobs::Error),
    /// The component is none, or asks for what it is not given.
    #[error("the component cannot be used: {reason}")]
    Component {
        /// What wasmtime says.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        reason: std::io::Error,
    },
}

/// A result with this module's error.
pub type Result<T> = std::result::Result<T, Error>;
