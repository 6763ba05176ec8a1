//! Clients that send nothing, stop in the middle, or do not read: a server in this process, with timeouts of
//! milliseconds.

use crate::data;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use easel_host::serve::{Config, Network, QueueService, Server, Timeouts};
use easel_inference::tensor::DeviceKind;
use futures_util::{Stream, StreamExt, stream};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Longer than any timeout here; only failing tests wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The timeouts of most tests.
const SHORT: Timeouts = Timeouts {
    header: Duration::from_millis(100),
    body: Duration::from_millis(100),
    upload: Duration::from_millis(100),
    answer: Duration::from_millis(100),
    idle: Duration::from_millis(100),
};

/// Timeouts that never pass here.
const LONG: Timeouts =
    Timeouts { header: PATIENCE, body: PATIENCE, upload: PATIENCE, answer: PATIENCE, idle: PATIENCE };

/// A server in this process.
struct Served {
    address: SocketAddr,
    /// The number of endless answers that are still open.
    endless: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

impl Served {
    fn start(timeouts: Timeouts, connections: usize) -> Self {
        let folder = data();
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            model: "stub".into(),
            device: DeviceKind::Cpu,
            data: folder.path().to_owned(),
            timeouts,
            network: Network { connections, connections_per_address: 0 },
            ..Config::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let endless = Arc::<AtomicUsize>::default();
        let routes = routes(Arc::clone(&endless));
        let (stop, stopped) = oneshot::channel::<()>();
        let address = runtime.block_on(async {
            let server = Server::bind(&config).await.unwrap();
            let address = server.address().unwrap();
            let service = QueueService::open(&config).unwrap();
            let stopped = async { drop(stopped.await) };
            tokio::spawn(server.run(routes, service, Duration::ZERO, stopped));
            address
        });
        Self { address, endless, stop: Some(stop), runtime: Some(runtime), _folder: folder }
    }

    /// A connection over which these bytes were sent.
    fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Waits until this many endless answers are open.
    fn until_endless(&self, count: usize) {
        let began = Instant::now();
        while self.endless.load(Ordering::SeqCst) != count {
            assert!(began.elapsed() < PATIENCE, "{} endless answers", self.endless.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// `/` never ends, `/ticks` sends five pieces, one every 30 ms, `/ok` is short, `/upload` reads its body.
fn routes(endless: Arc<AtomicUsize>) -> Router {
    let forever = move || {
        let endless = Arc::clone(&endless);
        async move { Body::from_stream(Endless::new(endless)) }
    };
    let tick = |number: u32| async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok::<_, std::io::Error>(format!("{number}\n"))
    };
    Router::new()
        .route("/", get(forever))
        .route("/ticks", get(async move || Body::from_stream(stream::iter(0..5).then(tick))))
        .route("/ok", get(async || "ok"))
        .route("/upload", post(async |body: Bytes| body.len().to_string()))
}

/// An endless body, counted while it exists.
struct Endless(Arc<AtomicUsize>);

impl Endless {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Stream for Endless {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(Bytes::from_static(&[b'a'; 60_000]))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until the server closes a connection, and returns what it sent.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the connection does not end: {:?}", String::from_utf8_lossy(&received))
        }
        // A reset counts as an end.
        _ => received,
    }
}

#[test]
fn f3_silent_connections_end() {
    let server = Served::start(SHORT, 100);
    let silent: [&[u8]; 4] = [b"", b"P", b"PRI * HTTP/2.0\r\n", b"GET /ok HTTP/1.1\r\nhost: a\r\n"];
    for mut stream in silent.map(|bytes| server.connect(bytes)) {
        assert!(rest(&mut stream).is_empty());
    }
    let mut idle = server.connect(b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(rest(&mut idle).ends_with(b"ok"), "between two requests");
    let mut second = server.connect(b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\nGET /ok HTTP/1.1\r\nhos");
    assert!(rest(&mut second).ends_with(b"ok"), "in the second head");
    // An HTTP/2 connection without a request: preface and empty settings.
    let mut idle = server.connect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    rest(&mut idle);
}

#[test]
fn f3_a_trickling_body_is_ended() {
    let server = Served::start(Timeouts { upload: Duration::from_millis(300), ..SHORT }, 100);
    let mut slow = server.connect(b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 10000\r\n\r\n");
    let began = Instant::now();
    // No pause is as long as the timeout between two pieces.
    while slow.write_all(b"a").is_ok() {
        assert!(began.elapsed() < PATIENCE, "it goes on and on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn f15_a_client_that_does_not_read_is_disconnected() {
    let server = Served::start(SHORT, 100);
    let _deaf = server.connect(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    server.until_endless(1);
    server.until_endless(0);
}

#[test]
fn f15_a_client_that_reads_slowly_and_a_slow_answer_are_not() {
    let server = Served::start(SHORT, 100);
    let mut ticks = server.connect(b"GET /ticks HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(rest(&mut ticks)).unwrap();
    assert!(answer.contains("4\n") && answer.ends_with("0\r\n\r\n"), "{answer}");
    let mut slow = server.connect(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut buffer = vec![0; 1 << 20];
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT.answer {
        assert!(slow.read(&mut buffer).unwrap() > 0);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An HTTP/2 frame for stream 0 or 1.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[test]
fn f15_a_stream_without_a_window_is_reset() {
    let server = Served::start(Timeouts { answer: SHORT.answer, ..LONG }, 100);
    // SETTINGS_INITIAL_WINDOW_SIZE 0; then HEADERS with :method GET, :scheme http, :path /, :authority a.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let headers = frame(1, 0b101, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    let mut client = server.connect(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings, &headers].concat());
    server.until_endless(1);
    server.until_endless(0);
    let mut reset = false;
    while !reset {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        client.read_exact(&mut vec![0; length as usize]).unwrap();
        // RST_STREAM.
        reset = head[3] == 3 && head[8] == 1;
    }
}

#[test]
fn f3_a_full_server_answers_complete_requests_at_once() {
    let server = Served::start(LONG, 16);
    let silent: Vec<TcpStream> = (0..64).map(|_| server.connect(b"")).collect();
    let halves: Vec<TcpStream> = (0..64).map(|_| server.connect(b"GET /ok HTTP/1.1\r\nhost: a\r\n")).collect();
    let began = Instant::now();
    for _ in 0..32 {
        let mut whole = server.connect(b"GET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert!(rest(&mut whole).ends_with(b"ok"));
    }
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    drop((silent, halves));
}

#[test]
fn f3_a_server_full_of_waiting_clients_refuses_quickly() {
    let server = Served::start(LONG, 16);
    let waiting: Vec<TcpStream> = (0..16).map(|_| server.connect(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    server.until_endless(16);
    let mut refused = server.connect(b"");
    let answer = rest(&mut refused);
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    // Clients that have not read for a second make room.
    std::thread::sleep(Duration::from_millis(1100));
    let mut whole = server.connect(b"GET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(rest(&mut whole).ends_with(b"ok"));
    drop(waiting);
}
