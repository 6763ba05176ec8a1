//! Downloads a file: continues where an earlier attempt stopped, checks length and SHA-256, and only then gives it its
//! name.

use super::cache::{create_parent, io};
use super::http::{Client, Metadata, accept, is_passing, network};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// The most attempts in a row without a single byte.
const ATTEMPTS: u32 = 5;

/// The pause after the first failed attempt; it grows with each.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes between two checks for cancellation.
const CHUNK: usize = 1 << 17;

/// The progress of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadProgress<'a> {
    /// The path of the file in its repository.
    pub path: &'a str,
    /// Bytes received, including those of earlier attempts.
    pub received: u64,
    /// Bytes in total.
    pub total: u64,
}

/// Called with every chunk; a break stops the download with [`Error::Cancelled`] and keeps the received bytes for
/// later.
pub(super) type Watch<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Downloads `url` to `blob`, by way of a file with `.incomplete` appended to the name.
pub(super) fn download(client: &Client, url: &str, metadata: &Metadata, blob: &Path, watch: Watch<'_>) -> Result<()> {
    let mut name = blob.as_os_str().to_owned();
    name.push(".incomplete");
    let path = Path::new(&name);
    create_parent(path)?;
    let mut partial = Partial::open(path, metadata)?;
    let mut failures = 0;
    while partial.length < metadata.size {
        let before = partial.length;
        match partial.attempt(client, url, watch) {
            Ok(()) => {}
            Err(error) if is_passing(&error) => {
                failures = if partial.length > before { 0 } else { failures + 1 };
                if failures == ATTEMPTS {
                    return Err(error);
                }
                std::thread::sleep(PAUSE * failures);
            }
            Err(error) => return Err(error),
        }
    }
    partial.finish(url, blob)
}

/// A file that is being received.
struct Partial<'a> {
    path: &'a Path,
    file: File,
    length: u64,
    expected: &'a Metadata,
    digest: Sha256,
}

impl<'a> Partial<'a> {
    /// Opens the file of an earlier attempt, or a new one.
    fn open(path: &'a Path, expected: &'a Metadata) -> Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(io(path))?;
        let mut partial = Self { path, file, length: 0, expected, digest: Sha256::new() };
        let length = partial.file.metadata().map_err(io(path))?.len();
        if length > expected.size {
            partial.restart()?;
        } else {
            // Reading leaves the position at the end, where writing continues.
            partial.length =
                std::io::copy(&mut partial.file, &mut DigestWriter(&mut partial.digest)).map_err(io(path))?;
        }
        Ok(partial)
    }

    fn restart(&mut self) -> Result<()> {
        use std::io::Seek;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(io(self.path))?;
        self.length = 0;
        self.digest = Sha256::new();
        Ok(())
    }

    /// Requests the rest and writes as much as arrives.
    fn attempt(&mut self, client: &Client, url: &str, watch: Watch<'_>) -> Result<()> {
        let response = client.content(url, self.length)?;
        if response.status() == 416 {
            // The hub reports another length, so the received bytes are useless.
            self.restart()?;
            return Err(Error::Network { url: url.to_owned(), reason: "416 Range Not Satisfiable".into() });
        }
        let response = accept(url, response)?;
        if response.status() != 206 || !starts_at(&response, self.length) {
            self.restart_unless_empty()?;
            if response.status() == 206 {
                return Err(Error::Network {
                    url: url.to_owned(),
                    reason: "the server sent another range than requested".into(),
                });
            }
        }
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        while self.length < self.expected.size {
            let count = body.read(&mut chunk).map_err(|error| network(url, &error))?;
            if count == 0 {
                let reason = format!("the connection ended after {} of {} bytes", self.length, self.expected.size);
                return Err(Error::Network { url: url.to_owned(), reason });
            }
            self.write(&chunk[..count])?;
            if watch(self.length).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    fn restart_unless_empty(&mut self) -> Result<()> {
        if self.length > 0 { self.restart() } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(io(self.path))?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Checks the downloaded file and gives it its name. A damaged file is deleted, so that the next attempt starts
    /// over.
    fn finish(self, url: &str, blob: &Path) -> Result<()> {
        let got = hex::encode(self.digest.finalize());
        let expected = &self.expected.etag;
        let is_sha256 = expected.len() == got.len() && expected.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_too_long = self.length > self.expected.size;
        if is_too_long || (is_sha256 && !expected.eq_ignore_ascii_case(&got)) {
            std::fs::remove_file(self.path).map_err(io(self.path))?;
            return Err(Error::Checksum { file: url.to_owned(), expected: expected.clone(), got });
        }
        self.file.sync_all().map_err(io(self.path))?;
        std::fs::rename(self.path, blob).map_err(io(blob))
    }
}

/// Whether a partial response begins at byte `start`.
fn starts_at(response: &ureq::http::Response<ureq::Body>, start: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok());
    first == Some(start)
}

struct DigestWriter<'a>(&'a mut Sha256);

impl Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
