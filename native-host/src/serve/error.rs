//! Why the service cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the service cannot start. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file cannot be read.
    #[error("{}: {reason}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The configuration file is malformed.
    #[error("{}: {reason}", path.display())]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// The line and the problem.
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
    /// A setting is invalid.
    #[error("{field} {reason}")]
    Setting {
        /// The setting as the configuration file spells it.
        field: &'static str,
        /// What was expected, and the value found.
        reason: String,
    },
    /// Without keys, only this machine may call.
    #[error(
        "listen: {address} is open to other machines and there are no keys: add --api-key-file FILE (`easel new-key` makes \
         keys), or --allow-anonymous to let everybody in"
    )]
    OpenToAll {
        /// The address.
        address: SocketAddr,
    },
    /// The file of keys cannot be written.
    #[error("{}: {reason}", path.display())]
    WriteKeys {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The file has a key of that name.
    #[error("{}: there is a key named {name:?} already; choose another name", path.display())]
    KeyName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The TLS certificate or its key cannot be used.
    #[error("{}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A model is unknown or cannot run.
    #[error(transparent)]
    Model(#[from] crate::names::NameError),
    /// The device is unavailable.
    #[error(transparent)]
    Device(#[from] easel_inference::Error),
    /// The queue or its store cannot be opened.
    #[error(transparent)]
    Jobs(#[from] easel_jobs::Error),
    /// The file is not a component, or imports an interface that the host does not provide.
    #[error("the component cannot be used: {reason}")]
    Component {
        /// wasmtime's message.
        reason: String,
    },
    /// The server cannot listen on the address.
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
