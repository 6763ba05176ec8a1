//! A full disk and a locked database.

#![cfg(target_os = "linux")]

use crate::{Host, agent, command, data};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A small, nearly full file system that only the server sees.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=2m none "$0" && head -c 1200k /dev/zero >"$0/filler" && exec "$@""#;

/// A server on a small disk, if this user may mount one, and the path to that disk through the server's process.
fn on_small_disk(data: &Path) -> Option<(Host, PathBuf)> {
    let may = Command::new("unshare").args(["-rm", "sh", "-c", SMALL_DISK]).arg(data).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount a small disk (unshare -rm)");
        return None;
    }
    let server = command(&data.join("data"), &[]);
    let mut small = Command::new("unshare");
    small.args(["-rm", "sh", "-c", SMALL_DISK]).arg(data).arg(server.get_program()).args(server.get_args());
    let host = Host::run(small);
    let disk = PathBuf::from(format!("/proc/{}/root{}", host.child.id(), data.display()));
    Some((host, disk))
}

#[test]
fn f20_on_a_full_disk_health_names_it_and_deletions_work() {
    let data = data();
    let Some((host, disk)) = on_small_disk(data.path()) else { return };
    let task = host.submit(1);
    host.until(&task, "completed");
    let mut filler = File::create(disk.join("more")).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while filler.write_all(&vec![7; size]).is_ok() {}
    }
    let mut health = host.get("/health");
    assert_eq!(health.status(), 503, "f10");
    let body = health.body_mut().read_to_string().unwrap();
    assert!(body.contains("\"disk\":\"cannot write: ") && !body.contains(&data.path().display().to_string()), "{body}");
    assert_eq!(host.get("/health/live").status(), 200);
    assert_eq!(host.get("/health/ready").status(), 503);
    let id = host.json("/images")["slice"][0]["id"].as_u64().unwrap();
    let delete = |path: &str| agent().delete(host.url(path)).call().unwrap();
    assert_eq!(delete(&format!("/images/{id}")).status(), 200);
    let mut deleted = delete("/delete-tasks");
    assert_eq!(deleted.body_mut().read_to_string().unwrap(), "{\"message\":\"Successfully deleted 1 tasks\"}");
    std::fs::remove_file(disk.join("more")).unwrap();
    assert_eq!(host.get("/health").status(), 200);
    assert!(disk.join("data/ballast").exists(), "the room is kept again");
}

#[test]
fn a_full_disk_loses_no_task_and_no_picture() {
    let data = data();
    let Some((host, disk)) = on_small_disk(data.path()) else { return };
    let large = json!({ "prompt": "a red apple", "width": 384, "height": 384, "steps": 1, "seed": 7 });
    let submit = || {
        let answer: Value = host.post("/generate", &large).body_mut().read_json().unwrap();
        answer["task_id"].as_str().unwrap().to_owned()
    };
    let tasks: Vec<String> = (0..8).map(|_| submit()).collect();
    // Long enough for all of them; one that does not fit fails, or is kept until its end can be written.
    std::thread::sleep(Duration::from_secs(8));
    assert!(host.json("/images")["length"].as_u64().unwrap() < 8, "the disk is full before all are drawn");
    std::fs::remove_file(disk.join("filler")).unwrap();
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
fn health_reports_a_locked_database_and_recovers() {
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
