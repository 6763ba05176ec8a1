//! Rules for every source file: a head, a size, plain statements and plain English, no left-overs, and the borders between
//! rooms.

use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 500;

/// Every Rust file of the workspace, with its path from the root.
fn rust_files() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["crates", "edge", "native-host", "tests", "web", "xtask", "fuzz"] {
        collect(&root.join(folder), &mut files);
    }
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Fails with the list of all offenders.
fn none(offenders: Vec<String>, rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n{}", offenders.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let files = rust_files();
    assert!(files.len() > 20, "only {} files found", files.len());
    let offenders = files.iter().filter(|(_, text)| !text.lines().take(3).any(|line| line.starts_with("//!")));
    none(offenders.map(|(name, _)| name.clone()).collect(), "files that do not open with a //! line");
}

#[test]
fn files_stay_readable() {
    let long = |text: &str| text.lines().count() > LONGEST_FILE;
    let offenders = rust_files().into_iter().filter(|(_, text)| long(text));
    let rule = format!("files over {LONGEST_FILE} lines");
    none(offenders.map(|(name, text)| format!("{name}: {}", text.lines().count())).collect(), &rule);
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat()];
    let offenders = rust_files().into_iter().flat_map(|(name, text)| {
        let bad = |line: &str| marks.iter().any(|mark| line.contains(mark));
        text.lines().filter(|line| bad(line)).map(|line| format!("{name}: {}", line.trim())).collect::<Vec<_>>()
    });
    none(offenders.collect(), "left-overs");
}

#[test]
fn only_the_tensor_room_names_candle() {
    let allowed = "crates/inference/src/tensor/";
    let name = ["candle", "_core"].concat();
    let offenders = rust_files().into_iter().filter(|(file, text)| !file.starts_with(allowed) && text.contains(&name));
    none(offenders.map(|(file, _)| file).collect(), "files outside tensor/ that name candle");
}

#[test]
fn only_the_webgpu_crate_names_wgpu() {
    let name = ["wg", "pu::"].concat();
    let offenders =
        rust_files().into_iter().filter(|(file, text)| !file.starts_with("crates/webgpu/") && text.contains(&name));
    none(offenders.map(|(file, _)| file).collect(), "files outside crates/webgpu that name wgpu");
}

#[test]
fn models_and_samplers_see_no_file_socket_clock_or_thread() {
    let rooms = ["crates/inference/src/models/", "crates/inference/src/sampling/", "crates/cpu/src/"];
    let marks = ["std::fs", "std::net", "std::time", "std::thread", "std::env"];
    let offenders = rust_files().into_iter().filter(|(file, text)| {
        rooms.iter().any(|room| file.starts_with(room)) && marks.iter().any(|mark| text.contains(mark))
    });
    none(offenders.map(|(file, _)| file).collect(), "files of pure rooms that reach outside");
}
