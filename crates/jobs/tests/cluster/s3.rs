//! A server for S3, as long as it is used: moto, from PyPI. `EASEL_MOTO` is a Python that has it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The bucket of the tests.
const BUCKET: &str = "easel";

/// A running server with an empty bucket.
pub(crate) struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    /// Starts the server; `None` if the environment does not say how.
    pub(crate) fn start() -> Option<Self> {
        let python = std::env::var_os("EASEL_MOTO")?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let port = free.port().to_string();
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto");
        let own = Self { child, address: free.to_string() };
        let began = Instant::now();
        while TcpStream::connect(&own.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "moto does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        let made = ask(&own.address, "PUT", &format!("/{BUCKET}"));
        assert!(made.contains(" 200 "), "{made}");
        Some(own)
    }

    /// Where pictures go.
    pub(crate) fn url(&self) -> String {
        format!("s3://{BUCKET}/pictures")
    }

    /// What a process needs to find the server.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "easel".into()),
            ("AWS_SECRET_ACCESS_KEY", "easel".into()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many objects the bucket has, a thousand at most, by a process with that environment.
pub(crate) fn objects() -> usize {
    let url = std::env::var("AWS_ENDPOINT_URL").expect("the environment of a child");
    let address = url.strip_prefix("http://").expect("without TLS");
    let listed = ask(address, "GET", &format!("/{BUCKET}?list-type=2"));
    assert!(listed.contains(" 200 "), "{listed}");
    listed.matches("<Key>").count()
}

/// The answer to a request without a body.
fn ask(address: &str, method: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("a connection");
    write!(connection, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}
