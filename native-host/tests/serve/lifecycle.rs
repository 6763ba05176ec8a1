//! Starting, stopping, killing and restarting the server.

#![cfg(unix)]

use crate::{Host, data};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_stop_finishes_running_tasks_and_keeps_waiting_ones() {
    let data = data();
    let mut host = Host::start(data.path(), &[]);
    let running = host.submit(40);
    let waiting = host.submit(2);
    host.until(&running, "processing");
    host.signal("-TERM");
    assert!(host.wait().success());
    let host = Host::start(data.path(), &[]);
    assert_eq!(host.json(&format!("/status/{running}"))["status"], "completed");
    host.until(&waiting, "completed");
}

#[test]
fn a_task_that_does_not_finish_in_time_is_drawn_by_the_next_process() {
    let data = data();
    let mut host = Host::start(data.path(), &["--grace", "0"]);
    let task = host.submit(400);
    host.until(&task, "processing");
    let began = Instant::now();
    host.signal("-INT");
    assert!(host.wait().success());
    assert!(began.elapsed() < Duration::from_secs(10), "it stopped within a step");
    let host = Host::start(data.path(), &[]);
    assert_ne!(host.json(&format!("/status/{task}"))["status"], "error");
    assert_eq!(host.post("/cancel-generation", &json!({ "task_id": task })).status(), 200);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let data = data();
    let mut host = Host::start(data.path(), &["--grace", "600"]);
    let task = host.submit(1000);
    host.until(&task, "processing");
    host.signal("-TERM");
    // A signal that comes before the first one was taken is the same signal.
    let status = loop {
        match host.child.try_wait().unwrap() {
            Some(status) => break status,
            None => host.signal("-TERM"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
    let host = Host::start(data.path(), &[]);
    host.until(&task, "processing");
}

#[test]
fn after_a_kill_a_running_task_is_started_again_once() {
    let data = data();
    let mut host = Host::start(data.path(), &[]);
    let done = host.submit(1);
    host.until(&done, "completed");
    let task = host.submit(1000);
    host.until(&task, "processing");
    host.signal("-KILL");
    host.wait();
    let mut host = Host::start(data.path(), &[]);
    host.until(&task, "processing");
    host.signal("-KILL");
    host.wait();
    let host = Host::start(data.path(), &[]);
    host.until(&task, "error");
    assert_eq!(host.json(&format!("/status/{done}"))["status"], "completed");
    assert_eq!(host.json("/images")["length"], 1);
}

/// The exit code and the message of a failing start.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_easel")).arg("serve").args(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    (output.status.code(), stderr.trim_end().to_owned())
}

#[test]
fn a_failing_start_says_why() {
    let folder = data();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("easel.toml"), "engines = 99").unwrap();
    let (code, stderr) = refused(&["--config", &path("easel.toml")]);
    assert_eq!((code, stderr.as_str()), (Some(1), "easel: engines must be between 1 and 64, got 99"));

    let (code, stderr) = refused(&["--device", "cpu", "--model", "no-such-model"]);
    assert!(code == Some(1) && stderr.starts_with("easel: no such file, folder, "), "{stderr}");

    let (_, stderr) = refused(&["--component", &path("edge.wasm")]);
    assert!(stderr.starts_with(&format!("easel: {}: No such file", path("edge.wasm"))), "{stderr}");
    let (_, stderr) = refused(&["--site", &path("dist")]);
    assert!(stderr.starts_with(&format!("easel: {}: No such file", path("dist"))), "{stderr}");

    let host = Host::start(folder.path(), &[]);
    let taken = host.address.clone();
    let other = path("other");
    let (_, stderr) = refused(&["--device", "cpu", "--listen", &taken, "--data", &other]);
    assert!(stderr.starts_with(&format!("easel: cannot listen on {taken}: ")), "{stderr}");
}

#[test]
fn two_processes_do_not_share_a_data_folder() {
    let folder = data();
    let _host = Host::start(folder.path(), &[]);
    let data = folder.path().display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_easel"))
        .args(["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--data", &data])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("another process uses this data folder"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}
