//! Requests to the hub. Redirects are handled here, because the token must not go to another host.

use crate::{Error, Result};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// The most redirects of a request.
const MAX_REDIRECTS: usize = 10;

/// The longest API response that is read: the list of a repository's files.
const MAX_ANSWER: u64 = 1 << 25;

/// How long the hub may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one hub, with the access token.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        write!(f, "Client({})", self.endpoint)
    }
}

/// The hub's metadata of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The digest of the content: the SHA-256 of large files, Git's digest of small ones.
    pub(super) etag: String,
    pub(super) size: u64,
}

impl Client {
    pub(super) fn new(endpoint: &str, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("easel/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), endpoint: endpoint.trim_end_matches('/').to_owned(), token }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The files of a repository, as the unparsed API response.
    pub(super) fn list(&self, id: &str, revision: &str) -> Result<Vec<u8>> {
        let url = format!("{}/api/models/{id}/revision/{}", self.endpoint, encode(revision, false));
        let mut response = accept(&url, self.request(&url, None, true)?)?;
        let answer = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        answer.map_err(|error| network(&url, &error))
    }

    /// The address of a file.
    pub(super) fn file(&self, id: &str, revision: &str, path: &str) -> String {
        format!("{}/{id}/resolve/{}/{}", self.endpoint, encode(revision, false), encode(path, true))
    }

    /// Requests a file's metadata without its content.
    pub(super) fn metadata(&self, url: &str) -> Result<Metadata> {
        let response = accept(url, self.head(url)?)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = header("x-linked-etag").or_else(|| header("etag")).map(plain_etag);
        let size = header("x-linked-size").or_else(|| header("content-length")).and_then(|size| size.parse().ok());
        match (etag.filter(|etag| is_plain(etag)), size) {
            (Some(etag), Some(size)) => Ok(Metadata { etag: etag.to_owned(), size }),
            _ => Err(Error::Network { url: url.to_owned(), reason: "the response has no ETag or no size".into() }),
        }
    }

    /// Requests a file from byte `start` to its end.
    pub(super) fn content(&self, url: &str, start: u64) -> Result<Response<Body>> {
        self.request(url, Some(start), true)
    }

    /// The headers for a file. Large files are on another host, but the hub's own headers say more about them.
    fn head(&self, url: &str) -> Result<Response<Body>> {
        self.request(url, None, false)
    }

    /// A `GET`, or if not `whole` a `HEAD` that does not follow redirects to another host.
    fn request(&self, url: &str, start: Option<u64>, whole: bool) -> Result<Response<Body>> {
        let mut at = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let mut request = if whole { self.agent.get(&at) } else { self.agent.head(&at) };
            // Compression would change the length.
            request = request.header("accept-encoding", "identity");
            if let Some(token) = self.token.as_ref().filter(|_| origin(&at) == origin(&self.endpoint)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(start) = start {
                request = request.header("range", format!("bytes={start}-"));
            }
            let response = request.call().map_err(|error| network(&at, &error))?;
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            match location.filter(|_| response.status().is_redirection()) {
                Some(next) if next.starts_with('/') && !next.starts_with("//") => at = format!("{}{next}", origin(&at)),
                Some(next) if whole || origin(next) == origin(&at) => at = next.to_owned(),
                _ => return Ok(response),
            }
        }
        Err(Error::Network { url: url.to_owned(), reason: format!("redirected more than {MAX_REDIRECTS} times") })
    }
}

/// The response if its status is a success (or, for headers, a redirect); else an error with advice.
pub(super) fn accept(url: &str, response: Response<Body>) -> Result<Response<Body>> {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(response);
    }
    let advice = match status.as_u16() {
        401 => ": no such repository, or one that needs a token (HF_TOKEN)",
        403 => ": the token (HF_TOKEN) has no access; some models require accepting a licence on their page first",
        404 => ": no such repository, revision or file",
        429 => ": too many requests, try again later",
        _ => "",
    };
    Err(Error::Network { url: url.to_owned(), reason: format!("{status}{advice}") })
}

/// Whether another attempt may succeed: the connection failed, or the hub has a problem.
pub(super) fn is_passing(error: &Error) -> bool {
    match error {
        Error::Network { reason, .. } => {
            !reason.starts_with('4') || reason.starts_with("429") || reason.starts_with("408")
        }
        _ => false,
    }
}

pub(super) fn network(url: &str, error: &dyn std::fmt::Display) -> Error {
    let reason = error.to_string();
    Error::Network { url: url.to_owned(), reason: reason.lines().next().unwrap_or_default().to_owned() }
}

/// The scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

fn plain_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// Whether an ETag can be the name of a file.
fn is_plain(etag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !etag.is_empty() && etag.len() <= 128 && !etag.starts_with('.') && etag.chars().all(plain)
}

/// Percent-encodes the special characters of a path.
fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'/' if keep_slashes => encoded.push('/'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
