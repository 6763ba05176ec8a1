//! Clients that send too much, send too slowly, or leave.

use crate::{Host, data};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn configured(data: &std::path::Path, lines: &str) -> Host {
    let path = data.join("easel.toml");
    std::fs::write(&path, lines).unwrap();
    Host::start(data, &["--config", &path.display().to_string()])
}

/// Everything that comes until the server closes the connection.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn slow_heads_and_slow_bodies_are_cut_off() {
    let data = data();
    let host = configured(data.path(), "header_timeout = 1\nbody_timeout = 1");
    let mut slow = TcpStream::connect(&host.address).unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n").unwrap();
    let began = Instant::now();
    rest(slow);
    assert!(began.elapsed() < Duration::from_secs(10));

    let mut slow = TcpStream::connect(&host.address).unwrap();
    let head =
        "POST /generate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    slow.write_all(head.as_bytes()).unwrap();
    let answer = rest(slow);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn long_bodies_are_refused_and_full_queues_say_so() {
    let data = data();
    let host = configured(data.path(), "body_limit = 2000\ncapacity = 1");
    let long = json!({ "prompt": "a".repeat(3000) });
    assert_eq!(host.post("/generate", &long).status(), 413);
    let running = host.submit(1000);
    host.until(&running, "processing");
    host.submit(1);
    let refused = host.post("/generate", &json!({ "prompt": "a" }));
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
}

#[test]
fn watchers_that_leave_disturb_nobody_and_cancelling_ends_the_stream() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let task = host.submit(1000);
    host.until(&task, "processing");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&host.address).unwrap();
        stream
            .write_all(format!("GET /generate-stream/{task} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
            .unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
    }
    let answer = host.get(&format!("/generate-stream/{task}"));
    assert_eq!(host.post("/cancel-generation", &json!({ "task_id": task })).status(), 200);
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
    let last = lines.filter_map(|line| line.strip_prefix("data:").map(str::to_owned)).last().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["status"], "cancelled");
    let next = host.submit(1);
    host.until(&next, "completed");
}

#[test]
fn pictures_that_do_not_fit_the_memory_are_refused_before_they_are_queued() {
    let data = data();
    let mut command = crate::command(data.path(), &[]);
    command.env("EASEL_MEMORY", "300M");
    let host = Host::run(command);
    let mut refused = host.post("/generate", &json!({ "prompt": "a", "width": 1024, "height": 1024 }));
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-easel-error"]),
        (507, &"insufficient_memory".parse().unwrap())
    );
    let answer: Value = refused.body_mut().read_json().unwrap();
    let detail = answer["detail"].as_str().unwrap();
    assert!(
        detail.contains("does not fit this machine's memory: at least ") && detail.contains("314572800 free"),
        "{detail}"
    );
    assert_eq!(host.json("/tasks")["total_tasks"], 0);
    let task = host.submit(1);
    host.until(&task, "completed");
}
