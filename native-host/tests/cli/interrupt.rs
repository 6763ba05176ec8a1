//! Ctrl-C: a clean stop between two steps, exit code 130, and no file.

#![cfg(unix)]

use super::{Folder, Outcome};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Starts a run of a thousand steps, interrupts it after the first few, and waits for it to end.
fn interrupted(folder: &Folder, args: &[&str]) -> Outcome {
    let slow = ["generate", "a red apple", "--steps", "1000", "--json", "-o", "x.png"];
    let mut command = folder.command(slow.iter().chain(args));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let denoising = lines.by_ref().find(|line| line.as_ref().unwrap().contains("\"phase\":\"denoise\",\"step\":3,"));
    assert!(denoising.is_some());
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut outcome = Outcome::new(child.wait_with_output().unwrap());
    outcome.stdout = rest.join("\n").into_bytes();
    outcome
}

#[test]
fn the_run_stops_and_leaves_no_file() {
    let folder = Folder::new();
    let outcome = interrupted(&folder, &["--preview"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(130), "easel: cancelled\n"));
    let stdout = String::from_utf8(outcome.stdout).unwrap();
    assert!(stdout.ends_with(r#"{"event":"error","message":"cancelled"}"#), "{stdout}");
    // The run really stopped, and did not only hide its output.
    assert!(stdout.lines().count() < 500, "{}", stdout.lines().count());
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

#[test]
fn an_existing_file_stays_as_it_was() {
    let folder = Folder::new();
    std::fs::write(folder.path("x.png"), b"mine").unwrap();
    assert_eq!(interrupted(&folder, &["--force"]).code, Some(130));
    assert_eq!(folder.read("x.png"), b"mine");
    assert_eq!(folder.files(), ["x.png"]);
}
