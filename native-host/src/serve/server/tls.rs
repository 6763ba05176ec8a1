//! TLS by rustls: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN (RFC 7301), and certificates that can be replaced
//! without a restart.

use crate::serve::access::{follow, warn_if_others_may_read};
use crate::serve::config::TlsFiles;
use crate::serve::{Error, Result};
use parking_lot::RwLock;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// How many bytes of a request without TLS are read before it is answered.
const PLAIN_HEAD: usize = 16 << 10;

/// The answer to a client that speaks HTTP without TLS.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 55\r\n\r\n\
                       this port speaks HTTPS: call it with https:// instead.\n";

/// The certificate, its key, and how long a handshake may take. Clones share them.
#[derive(Clone)]
pub(super) struct Tls {
    files: TlsFiles,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    patience: Duration,
}

impl Tls {
    /// Reads a certificate and its key.
    pub(super) fn open(files: &TlsFiles, patience: Duration) -> Result<Self> {
        Ok(Self { files: files.clone(), config: Arc::new(RwLock::new(read(files)?)), patience })
    }

    /// Reads them again whenever they change, for as long as the process lives.
    pub(super) async fn follow(self) {
        let paths = vec![self.files.certificate.clone(), self.files.key.clone()];
        follow(paths, move || self.reload()).await;
    }

    /// Replaces the pair. If the new one does not match, or is only partly written, the old one stays.
    fn reload(&self) {
        let files = &self.files;
        match read(files) {
            Ok(config) => {
                tracing::info!(certificate = %files.certificate.display(), "TLS certificate");
                warn_if_others_may_read(&files.key);
                *self.config.write() = config;
            }
            Err(error) => tracing::error!(%error, "the TLS certificate stays as it was"),
        }
    }

    /// Whether a client has begun a TLS handshake. Clients that speak plain HTTP get an error.
    pub(super) async fn is_spoken(&self, stream: &mut TcpStream) -> bool {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] != HANDSHAKE => {
                let _ = tokio::time::timeout(self.patience, refuse(stream)).await;
                false
            }
            Ok(length) => length == 1,
            Err(_) => false,
        }
    }

    /// The handshake.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.config.read());
        let handshake = TlsAcceptor::from(config).accept(stream);
        tokio::time::timeout(self.patience, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    // Closing a socket with unread bytes would discard the answer.
    let mut head = vec![0; PLAIN_HEAD];
    let _ = stream.read(&mut head).await?;
    stream.write_all(PLAIN).await?;
    stream.shutdown().await
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let chain: Vec<_> = parsed(&files.certificate, |bytes| CertificateDer::pem_slice_iter(bytes).collect())?;
    if chain.is_empty() {
        return Err(unusable(&files.certificate, "it contains no certificate"));
    }
    let key = parsed(&files.key, PrivateKeyDer::from_pem_slice)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.certificate, error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&files.key, format!("it does not match the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn parsed<T>(path: &Path, parse: impl FnOnce(&[u8]) -> std::result::Result<T, pem::Error>) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| unusable(path, error))?;
    parse(&bytes).map_err(|error| unusable(path, format!("not the PEM file that was expected: {error}")))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> TlsFiles {
        TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
    }

    /// Copies a test certificate or key over the one in use.
    fn put(name: &str, place: &Path) {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name), place).unwrap();
    }

    #[test]
    fn a_new_pair_replaces_the_old_one_and_a_bad_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        put("first.cert.pem", &files.certificate);
        put("first.key.pem", &files.key);
        let tls = Tls::open(&files, Duration::from_secs(1)).unwrap();
        let first = Arc::clone(&tls.config.read());
        put("second.cert.pem", &files.certificate);
        tls.reload();
        assert!(Arc::ptr_eq(&first, &tls.config.read()), "the key does not match yet");
        put("second.key.pem", &files.key);
        tls.reload();
        let second = Arc::clone(&tls.config.read());
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        tls.reload();
        assert!(Arc::ptr_eq(&second, &tls.config.read()));
    }

    #[test]
    fn unusable_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let refused = || Tls::open(&files, Duration::from_secs(1)).err().unwrap().to_string();
        assert!(refused().contains("cert.pem: No such file"), "{}", refused());
        std::fs::write(&files.certificate, "no certificate").unwrap();
        assert!(refused().ends_with("cert.pem: it contains no certificate"), "{}", refused());
        put("first.cert.pem", &files.certificate);
        put("first.cert.pem", &files.key);
        assert!(refused().contains("key.pem: not the PEM file that was expected"), "{}", refused());
        put("second.key.pem", &files.key);
        assert!(refused().contains("key.pem: it does not match the certificate"), "{}", refused());
    }
}
