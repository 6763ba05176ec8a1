//! A disk that is full, a database that is locked.

#![cfg(target_os = "linux")]

use crate::{Host, command, data};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// A small file system that only the server sees, nearly full.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=2m none "$0" && head -c 1200k /dev/zero >"$0/filler" && exec "$@""#;

#[test]
fn a_full_disk_loses_no_task_and_no_picture() {
    let data = data();
    let may = Command::new("unshare").args(["-rm", "sh", "-c", SMALL_DISK]).arg(data.path()).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: this user may not mount a small disk (unshare -rm)");
    }
    let server = command(&data.path().join("data"), &[]);
    let mut small = Command::new("unshare");
    small.args(["-rm", "sh", "-c", SMALL_DISK]).arg(data.path()).arg(server.get_program()).args(server.get_args());
    let host = Host::run(small);
    let large = json!({ "prompt": "a red apple", "width": 384, "height": 384, "steps": 1, "seed": 7 });
    let submit = || {
        let answer: Value = host.post("/generate", &large).body_mut().read_json().unwrap();
        answer["task_id"].as_str().unwrap().to_owned()
    };
    let tasks: Vec<String> = (0..8).map(|_| submit()).collect();
    // Long enough for all of them; the first that does not fit is an error, or is kept until its end can be written.
    std::thread::sleep(Duration::from_secs(8));
    assert!(host.json("/images")["length"].as_u64().unwrap() < 8, "the disk is full before all are drawn");
    let filler = format!("/proc/{}/root{}", host.child.id(), data.path().join("filler").display());
    std::fs::remove_file(filler).unwrap();
    let ended: Vec<Value> = tasks.iter().map(|task| host.until_ended(task)).collect();
    let (drawn, failed): (Vec<_>, Vec<_>) = ended.iter().partition(|task| task["status"] == "completed");
    assert_eq!(host.json("/images")["length"], drawn.len());
    assert!(
        failed.iter().all(|task| task["error"].as_str().unwrap().contains("No space left on device")),
        "{failed:?}"
    );
    assert_eq!(host.get("/health").status(), 200);
}

#[test]
fn while_the_database_is_locked_health_says_so_and_afterwards_all_is_well() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let done = host.submit(1);
    host.until(&done, "completed");
    let other = rusqlite::Connection::open(data.path().join("easel.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut health = host.get("/health");
    assert_eq!(health.status(), 503);
    assert!(health.body_mut().read_to_string().unwrap().contains("database is locked"));
    assert_eq!(host.json(&format!("/status/{done}"))["status"], "completed", "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(host.get("/health").status(), 200);
    let next = host.submit(1);
    host.until(&next, "completed");
}
