//! The transcripts over TLS, and clients that do not speak it.

use crate::{Host, native, play_some};
use anyhow::{Context, Result};
use bytes::Bytes;
use easel_host::serve::{Config, Server, TlsFiles, guarded};
use easel_transcripts::{Client, Setup};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Transcripts that TLS could affect: access control, and short, long and streamed answers.
const PLAYED: [&str; 6] = ["foreign_pages", "host_names", "images", "keys", "service", "stream"];

/// A server on a port of this machine.
struct Secure {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    _host: Host,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A certificate or key that only tests use.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

impl Secure {
    async fn start(setup: &Setup) -> Self {
        let mut made = None;
        let host = Host::start(setup, |service, config| {
            made = Some((service.clone(), config.clone()));
            native(service, config)
        });
        let (service, config) = made.unwrap();
        let tls = TlsFiles { certificate: file("first.cert.pem"), key: file("first.key.pem") };
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), tls: Some(tls), ..config };
        let server = Server::bind(&config).await.unwrap();
        let address = server.address().unwrap();
        let router = guarded(host.router.clone(), &config);
        let server = tokio::spawn(server.run(router, service, Duration::ZERO, std::future::pending()));
        Self { address, server, _host: host }
    }

    /// A connection from a client that trusts the certificate and speaks these protocols.
    async fn connect(&self, protocols: &[&str]) -> Result<TlsStream<TcpStream>> {
        let mut known = RootCertStore::empty();
        known.add(CertificateDer::from_pem_file(file("first.cert.pem"))?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(known)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?)
    }
}

impl Client for Secure {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let stream = self.connect(&["http/1.1"]).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let mut request = request.map(Full::new);
        request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static("localhost"));
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.context("the body was cut off")?.to_bytes()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcripts_hold_over_tls() {
    play_some(|transcript| PLAYED.contains(&transcript.name), async |setup| Secure::start(setup).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_agreed_on_and_plain_http_is_told_what_to_do() {
    let secure = Secure::start(&Setup::default()).await;
    let stream = secure.connect(&["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let mut plain = TcpStream::connect(secure.address).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("call it with https:// instead.\n"), "{answer}");

    let mut noise = TcpStream::connect(secure.address).await.unwrap();
    noise.write_all(b"\x16\x03\x01\x00\x05noise").await.unwrap();
    assert!(noise.read_to_end(&mut Vec::new()).await.is_ok(), "the connection ends");
    assert_eq!(secure.send(Request::get("/health").body(Bytes::new()).unwrap()).await.unwrap().status(), 200);
}
