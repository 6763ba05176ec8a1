//! Access control: keys that change while the server runs, host names, and addresses that other machines can reach.

use crate::{Host, agent, command, data};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn new_key(name: &str, file: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_easel")).args(["new-key", name, "--file"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn status(host: &Host, key: &str) -> u16 {
    agent().get(host.url("/tasks")).header("authorization", format!("Bearer {key}")).call().unwrap().status().as_u16()
}

/// The answer to this request, sent as it is.
fn raw(host: &Host, request: &str) -> String {
    let mut stream = TcpStream::connect(&host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn f7_keys_are_required_added_and_revoked_while_the_server_runs() {
    let data = data();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("keys.toml");
    let first = new_key("first", &file);
    let host = Host::start(data.path(), &["--api-key-file", &file.display().to_string()]);
    assert_eq!(host.get("/health").status(), 200);
    let refused = host.get("/tasks");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-easel-error"]),
        (401, &"key_required".parse().unwrap())
    );
    assert_eq!((status(&host, &first), status(&host, "easel_wrong")), (200, 401));
    std::fs::remove_file(&file).unwrap();
    let second = new_key("second", &file);
    let began = Instant::now();
    while status(&host, &second) != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the new key is still unknown");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(status(&host, &first), 401);
}

#[test]
fn f7_f20_a_request_names_the_server_once_and_correctly() {
    let data = data();
    let host = Host::start(data.path(), &["--host-names", "draw.example"]);
    let get = |hosts: &str| raw(&host, &format!("GET /health HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"));
    assert!(get("host: draw.example\r\n").starts_with("HTTP/1.1 200"));
    assert!(get("host: evil.example\r\n").starts_with("HTTP/1.1 421"));
    assert!(get("").starts_with("HTTP/1.1 400"));
    assert!(get("host: localhost\r\nhost: localhost\r\n").starts_with("HTTP/1.1 400"));
    let absolute = "GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(raw(&host, absolute).starts_with("HTTP/1.1 421"));
}

#[test]
fn f7_other_machines_are_accepted_only_on_purpose() {
    let data = data();
    let output = command(data.path(), &["--listen", "0.0.0.0:0"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("easel: listen: 0.0.0.0:0 is open to other machines and there are no keys"), "{stderr}");
    let host = Host::start(data.path(), &["--listen", "0.0.0.0:0", "--allow-anonymous"]);
    assert_eq!(host.get("/health").status(), 200);
}
