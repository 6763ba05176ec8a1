//! A disk that is full, a database that is locked.

#![cfg(target_os = "linux")]

use crate::{Host, agent, command, data};
use serde_json::{Value, json};
use std::process::Command;

/// A small file system that only the server sees, nearly full.
const SMALL_DISK: &str =
    r#"mount -t tmpfs -o size=1500k none "$0" && head -c 1200k /dev/zero >"$0/filler" && exec "$@""#;

#[test]
fn a_picture_that_does_not_fit_on_the_disk_ends_its_task_and_others_are_drawn() {
    let data = data();
    let may = Command::new("unshare").args(["-rm", "sh", "-c", SMALL_DISK]).arg(data.path()).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: this user may not mount a small disk (unshare -rm)");
    }
    let server = command(data.path(), &[]);
    let mut small = Command::new("unshare");
    small.args(["-rm", "sh", "-c", SMALL_DISK]).arg(data.path()).arg(server.get_program()).args(server.get_args());
    let host = Host::run(small);
    let large = json!({ "prompt": "a red apple", "width": 384, "height": 384, "steps": 1 });
    let draw = || {
        let answer: Value = host.post("/generate", &large).body_mut().read_json().unwrap();
        host.until_ended(answer["task_id"].as_str().unwrap())
    };
    let mut drawn = 0;
    let failed = loop {
        match draw() {
            task if task["status"] == "completed" => drawn += 1,
            task => break task,
        }
    };
    assert!(failed["error"].as_str().unwrap().contains("No space left on device"), "{failed}");
    let images = host.json("/images");
    assert_eq!(images["length"], drawn);
    for image in images["slice"].as_array().unwrap() {
        agent().delete(host.url(&format!("/images/{}", image["id"]))).call().unwrap();
    }
    assert_eq!(draw()["status"], "completed", "there is space again");
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
