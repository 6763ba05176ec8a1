//! Settings of connections: TLS, times and numbers.

use crate::serve::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// The files for TLS, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Both files or neither.
    pub(super) fn both(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<Self>> {
        let lone = |field, other| Err(Error::Setting { field, reason: format!("needs {other}: TLS needs both files") });
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => lone("tls_cert", "tls_key"),
            (None, Some(_)) => lone("tls_key", "tls_cert"),
        }
    }
}

/// How long clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To send the head of a request, from its first byte or from the start of the connection.
    pub header: Duration,
    /// Between two pieces of a body.
    pub body: Duration,
    /// To send a whole body.
    pub upload: Duration,
    /// To read a piece of an answer.
    pub answer: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// In total; fewer if the system lets the process open fewer files.
    pub connections: usize,
    /// From one address, or one IPv6 /64 network; 0 for no limit. This machine's own addresses have no limit. Behind a
    /// proxy on another machine, all clients have the proxy's address.
    pub connections_per_address: usize,
}
