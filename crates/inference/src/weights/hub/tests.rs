//! The hub client against a small server on this machine that behaves like the real one, with and without faults.

use super::*;
use crate::weights::Files;
use pollster::block_on;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Mutex;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The faults of the server when files are requested.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Every connection ends after this many bytes of a file.
    cut: Option<usize>,
    /// Ranges are ignored.
    whole: bool,
    /// The announced digest is wrong.
    lies: bool,
    /// The status of every response.
    status: Option<u16>,
    /// Files are on another host.
    elsewhere: bool,
}

#[derive(Default)]
struct Log {
    requests: Vec<String>,
    /// The requests with a token.
    with_token: Vec<String>,
}

struct Server {
    address: String,
    log: Arc<Mutex<Log>>,
    _cache: tempfile::TempDir,
    hub: Hub,
}

fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let weights = (0..700_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    BTreeMap::from([("unet/config.json", b"{}".to_vec()), ("unet/weights.safetensors", weights)])
}

impl Server {
    fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let log = shared.clone();
                std::thread::spawn(move || answer(stream.unwrap(), faults, &log));
            }
        });
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::new(&address, cache.path());
        Self { address, log, _cache: cache, hub }
    }

    fn repository(&self) -> HubFiles {
        self.hub.repository("owner/model", None).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap().requests)
    }

    fn blob(&self, end: &str) -> PathBuf {
        let etag = hex::encode(Sha256::digest(&files()["unet/weights.safetensors"]));
        self.hub.cache().join("models--owner--model/blobs").join(format!("{etag}{end}"))
    }
}

/// Answers the requests of one connection.
fn answer(stream: TcpStream, faults: Faults, log: &Mutex<Log>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header =
            |name: &str| lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
        let request = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
        let range = header("range: ");
        {
            let mut log = log.lock().unwrap();
            log.requests
                .push(format!("{request}{}", range.as_ref().map(|range| format!(" {range}")).unwrap_or_default()));
            if header("authorization: ").is_some() {
                log.with_token.push(request.clone());
            }
        }
        let (method, path) = request.split_once(' ').unwrap();
        let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let keep = respond(&mut stream, faults, method == "HEAD", path, start.unwrap_or(0));
        if !keep {
            return None;
        }
    }
}

/// Writes a response. Returns false if the connection ends.
fn respond(stream: &mut TcpStream, faults: Faults, head: bool, path: &str, start: usize) -> bool {
    let mut send = |status: &str, headers: &str, body: &[u8], length: usize| {
        let head_text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
        let sent = stream.write_all(head_text.as_bytes());
        sent.and_then(|()| if head { Ok(()) } else { stream.write_all(body) }).is_ok()
    };
    if let Some(status) = faults.status {
        return send(&format!("{status} Reason"), "", b"", 0);
    }
    if path == "/api/models/owner/model/revision/main" {
        let siblings: Vec<_> = files().keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return send("200 OK", "", body.as_bytes(), body.len());
    }
    let (is_elsewhere, path) = path.strip_prefix("/cdn/").map_or((false, path), |path| (true, path));
    let name = path.trim_start_matches(&format!("/owner/model/resolve/{COMMIT}/"));
    let files = files();
    let Some(content) = files.get(name) else { return send("404 Not Found", "", b"", 0) };
    let mut etag = hex::encode(Sha256::digest(content));
    if faults.lies {
        etag = "0".repeat(64);
    }
    let about = format!("x-linked-etag: \"{etag}\"\r\nx-linked-size: {}\r\nx-repo-commit: {COMMIT}\r\n", content.len());
    if faults.elsewhere && !is_elsewhere {
        // Another name for the same machine counts as another host.
        let port = stream.local_addr().unwrap().port();
        let location = format!("{about}location: http://localhost:{port}/cdn/{name}\r\n");
        return stream
            .write_all(format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n{location}\r\n").as_bytes())
            .is_ok();
    }
    let start = if faults.whole { 0 } else { start };
    if start > content.len() {
        return send("416 Range Not Satisfiable", "", b"", 0);
    }
    let rest = &content[start..];
    let body = &rest[..rest.len().min(faults.cut.unwrap_or(usize::MAX))];
    let range = format!("{about}content-range: bytes {start}-{}/{}\r\n", content.len() - 1, content.len());
    let (status, headers) = if faults.whole || head { ("200 OK", &about) } else { ("206 Partial Content", &range) };
    send(status, headers, body, rest.len()) && body.len() == rest.len()
}

const WEIGHTS: &str = "unet/weights.safetensors";

fn check_fetched(server: &Server, path: &Path) {
    assert_eq!(std::fs::read(path).unwrap(), files()[WEIGHTS]);
    assert!(path.ends_with(format!("models--owner--model/snapshots/{COMMIT}/{WEIGHTS}")));
    assert!(server.blob("").is_file() && !server.blob(".incomplete").exists());
    assert_eq!(std::fs::read_to_string(server.hub.cache().join("models--owner--model/refs/main")).unwrap(), COMMIT);
}

#[test]
fn files_are_fetched_once() {
    let server = Server::start(Faults::default());
    let files = server.repository();
    assert_eq!(block_on(files.list()).unwrap(), ["unet/config.json", WEIGHTS]);
    check_fetched(&server, &files.fetch(WEIGHTS).unwrap());
    let source = block_on(files.open("unet/config.json")).unwrap();
    assert_eq!(&block_on(source.read(0..2)).unwrap()[..], b"{}");
    assert_eq!(server.requests().len(), 5, "one list, and two requests for each file");
    block_on(server.repository().open(WEIGHTS)).unwrap();
    assert_eq!(server.requests(), ["GET /api/models/owner/model/revision/main"]);
}

#[cfg(unix)]
#[test]
fn a_snapshot_consists_of_relative_links() {
    let server = Server::start(Faults::default());
    let path = server.repository().fetch(WEIGHTS).unwrap();
    let link = std::fs::read_link(&path).unwrap();
    assert!(link.starts_with("../../../blobs"), "{}", link.display());
    assert_eq!(path.canonicalize().unwrap(), server.blob("").canonicalize().unwrap());
}

#[test]
fn an_interrupted_download_is_resumed() {
    let server = Server::start(Faults { cut: Some(300_000), ..Faults::default() });
    check_fetched(&server, &server.repository().fetch(WEIGHTS).unwrap());
    let ranges: Vec<String> =
        server.requests().iter().filter_map(|r| Some(r.split_once(" bytes=")?.1.to_owned())).collect();
    assert_eq!(ranges, ["0-", "300000-", "600000-"]);
}

#[test]
fn a_partial_file_of_an_earlier_process_is_used() {
    let server = Server::start(Faults::default());
    std::fs::create_dir_all(server.blob("").parent().unwrap()).unwrap();
    std::fs::write(server.blob(".incomplete"), &files()[WEIGHTS][..500_000]).unwrap();
    check_fetched(&server, &server.repository().fetch(WEIGHTS).unwrap());
    assert!(server.requests().last().unwrap().ends_with("bytes=500000-"));
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let server = Server::start(Faults { whole: true, ..Faults::default() });
    std::fs::create_dir_all(server.blob("").parent().unwrap()).unwrap();
    std::fs::write(server.blob(".incomplete"), b"something else").unwrap();
    check_fetched(&server, &server.repository().fetch(WEIGHTS).unwrap());
}

#[test]
fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
    let server = Server::start(Faults { lies: true, ..Faults::default() });
    match server.repository().fetch(WEIGHTS) {
        Err(Error::Checksum { file, expected, got }) => {
            assert!(file.ends_with(WEIGHTS) && expected == "0".repeat(64) && got.len() == 64);
        }
        other => panic!("{other:?}"),
    }
    let blobs = server.hub.cache().join("models--owner--model/blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn a_download_can_be_stopped_and_resumed() {
    let server = Server::start(Faults::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let files = server.repository().watched(move |progress| {
        record.lock().unwrap().push((progress.path.to_owned(), progress.received, progress.total));
        if progress.received > 200_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(files.fetch(WEIGHTS), Err(Error::Cancelled)));
    let (path, received, total) = seen.lock().unwrap().last().unwrap().clone();
    assert_eq!((path.as_str(), total), (WEIGHTS, 700_000));
    assert_eq!(std::fs::metadata(server.blob(".incomplete")).unwrap().len(), received);
    check_fetched(&server, &server.repository().fetch(WEIGHTS).unwrap());
}

#[test]
fn refusals_say_what_to_do() {
    for (status, advice) in [(401, "HF_TOKEN"), (403, "licence"), (404, "no such repository")] {
        let server = Server::start(Faults { status: Some(status), ..Faults::default() });
        let text = block_on(server.repository().list()).unwrap_err().to_string();
        assert!(
            text.starts_with(&server.address) && text.contains(&status.to_string()) && text.contains(advice),
            "{text}"
        );
        assert_eq!(server.requests().len(), 1, "a retry would not help");
    }
}

#[test]
fn without_the_hub_the_cache_is_used() {
    let good = Server::start(Faults::default());
    good.repository().fetch(WEIGHTS).unwrap();
    let bad = Server::start(Faults { status: Some(503), ..Faults::default() });
    for hub in [
        Hub::new(&bad.address, good.hub.cache()),
        Hub::new("http://127.0.0.1:9", good.hub.cache()),
        Hub::new("http://127.0.0.1:9", good.hub.cache()).offline(),
    ] {
        let files = hub.repository("owner/model", None).unwrap();
        assert_eq!(block_on(files.list()).unwrap(), [WEIGHTS]);
        assert!(files.fetch(WEIGHTS).is_ok());
        assert!(matches!(files.fetch("unet/config.json"), Err(Error::Network { .. })));
    }
    let unknown = Hub::new("http://127.0.0.1:9", good.hub.cache()).repository("owner/other", None).unwrap();
    assert!(matches!(block_on(unknown.list()), Err(Error::Network { .. })));
    assert_eq!(good.hub.cached("owner/other", None), None);
    assert!(good.hub.cached("owner/model", None).unwrap().ends_with(COMMIT));
}

#[test]
fn the_token_does_not_leave_the_hub() {
    let server = Server::start(Faults { elsewhere: true, ..Faults::default() });
    let hub = server.hub.clone().with_token(" secret\n");
    check_fetched(&server, &hub.repository("owner/model", None).unwrap().fetch(WEIGHTS).unwrap());
    let log = server.log.lock().unwrap();
    assert!(log.requests.iter().any(|request| request.contains("/cdn/")));
    assert!(!log.with_token.is_empty() && log.with_token.iter().all(|request| !request.contains("/cdn/")));
}

#[test]
fn the_environment_sets_hub_and_cache() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "saved\n").unwrap();
    let home = folder.path().display().to_string();
    let hub = |variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Hub::from_variables(find, Some(PathBuf::from("/home/x"))).unwrap()
    };
    let plain = hub(&[]);
    assert_eq!(plain.cache(), Path::new("/home/x/.cache/huggingface/hub"));
    assert_eq!(plain.client.endpoint(), "https://huggingface.co");
    let set = hub(&[("HF_HOME", &home), ("HF_ENDPOINT", "https://mirror/"), ("HF_HUB_OFFLINE", "1")]);
    assert_eq!(
        (set.cache(), set.client.endpoint(), set.offline),
        (&*folder.path().join("hub"), "https://mirror", true)
    );
    assert_eq!(hub(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]).cache(), Path::new("/c"));
    assert!(matches!(Hub::from_variables(|_| None, None), Err(Error::Io { .. })));
    assert!(!format!("{set:?}").contains("saved"), "tokens are not shown");
}

#[test]
fn repositories_have_an_owner_and_a_name() {
    let hub = Hub::new("http://127.0.0.1:9", "cache");
    for id in ["", "a/b/c", "../x", "a b/c", "a/"] {
        assert!(matches!(hub.repository(id, None), Err(Error::Network { .. })), "{id}");
    }
}
