//! Rules for every source file: a head, a size, plain statements and plain English, no left-overs, and the borders between
//! rooms.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 420;

/// The folders with sources.
const FOLDERS: [&str; 9] = ["benches", "crates", "edge", "fuzz", "native-host", "tests", "web", "wit", "xtask"];

/// Every Rust file of the workspace, with its path from the root.
fn rust_files() -> Vec<(String, String)> {
    files(&["rs"])
}

/// Every file with one of these extensions, with its path from the root.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), extensions, &mut files);
    }
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn collect(folder: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["target", "node_modules", "dist"].iter().any(|folder| path.ends_with(folder)) {
                collect(&path, extensions, files);
            }
        } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension)) {
            files.push(path);
        }
    }
}

/// The lines that a rule finds, each with its file and number.
fn lines(files: Vec<(String, String)>, bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        let numbered = text.lines().enumerate().filter(|(_, line)| bad(line));
        found.extend(numbered.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    found
}

/// Fails with the list of all offenders.
fn none(offenders: Vec<String>, rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n{}", offenders.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let files = rust_files();
    assert!(files.len() > 20, "only {} files found", files.len());
    let offenders = files.iter().filter(|(_, text)| !text.starts_with("//!"));
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
    none(lines(rust_files(), |line| marks.iter().any(|mark| line.contains(mark))), "left-overs");
}

#[test]
fn statements_are_plain() {
    let rule = "several variables in one statement, where one statement for each reads better";
    none(lines(rust_files(), is_tuple_of_lets), rule);
}

/// Whether a line is `let (a, b) = (x, y);`: names on the left, as many expressions on the right.
fn is_tuple_of_lets(line: &str) -> bool {
    let Some((left, right)) = line.trim_start().strip_prefix("let (").and_then(|rest| rest.split_once(") = (")) else {
        return false;
    };
    let names = left.chars().all(|c| c.is_alphanumeric() || "_, ".contains(c));
    names && left.contains(',') && right.ends_with(");")
}

#[test]
fn tuples_of_lets_are_found() {
    assert!(is_tuple_of_lets("    let (mut a, b) = (1, 2);"));
    assert!(!is_tuple_of_lets("    let (a, b) = pair;"));
    assert!(!is_tuple_of_lets("    let (Some(a), Some(b)) = (x, y) else { return };"));
}

#[test]
fn sentences_are_plain_english() {
    // In two parts, so that this file does not find itself.
    let phrases = ["of| which", "so| many", "who| asks", "what is| none", "that it| owes", "hangs| on", "who|ever "];
    let phrases = phrases.map(|phrase| phrase.replace('|', ""));
    let files = files(&["rs", "md", "js", "ts", "wgsl", "wit", "css", "html", "http"]);
    let bad = |line: &str| phrases.iter().any(|phrase| line.to_lowercase().contains(phrase.as_str()));
    none(lines(files, bad), "phrases that sound translated");
}

#[test]
fn the_golden_folder_lists_what_it_has() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = text.split_once("## What is here").expect("a section for the folders that are here");
    let rows = rest.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
    let listed: BTreeSet<String> = rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect();
    let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.is_dir() && !path.ends_with("goldgen") && !path.ends_with("__pycache__"));
    let there: BTreeSet<String> = folders.map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    assert_eq!(listed, there, "tests/golden/README.md and the folders beside it");
}

/// The last column of the table of limits names tests and transcripts.
#[test]
fn the_limits_are_tested_as_the_security_document_says() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, limits) = text.split_once("## Limits").expect("a section for the limits");
    let rows = limits.lines().filter(|line| line.starts_with("| `"));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | ")).map(|(_, tests)| tests);
    let names: Vec<_> = last.flat_map(|tests| tests.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 10, "only {} tests found", names.len());
    let sources: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let exists = |name: &str| match name.ends_with(".http") {
        true => root.join("tests/http/transcripts").join(name).is_file(),
        false => sources.contains(&format!("fn {name}(")),
    };
    let missing = names.into_iter().filter(|name| !exists(name)).map(str::to_owned).collect();
    none(missing, "tests that SECURITY.md names and that do not exist");
}

#[test]
fn the_golden_command_has_a_gpu_when_it_is_built_alone() {
    let manifest = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let features = manifest.lines().find(|line| line.starts_with("easel-inference =")).unwrap();
    assert!(features.contains("\"webgpu\""), "`cargo xtask golden --device gpu` needs the feature: {features}");
}

#[test]
fn only_the_bridge_to_candle_names_it() {
    let allowed = "crates/inference/src/tensor/candle/";
    for name in [["candle", "_core"].concat(), ["candle", "_nn"].concat()] {
        let elsewhere =
            rust_files().into_iter().filter(|(file, text)| !file.starts_with(allowed) && text.contains(&name));
        none(elsewhere.map(|(file, _)| file).collect(), "files outside tensor/candle/ that name candle");
    }
}

#[test]
fn only_the_webgpu_crate_names_wgpu() {
    let name = ["wg", "pu::"].concat();
    let offenders =
        rust_files().into_iter().filter(|(file, text)| !file.starts_with("crates/webgpu/") && text.contains(&name));
    none(offenders.map(|(file, _)| file).collect(), "files outside crates/webgpu that name wgpu");
}

/// Networks and file layouts are the affair of `families/` and `models/`; the autoencoder is what all families share.
#[test]
fn bytes_and_the_loop_know_no_family() {
    let rooms = ["crates/inference/src/weights/", "crates/inference/src/pipeline/"];
    let marks = [
        "UNet",
        "ClipText",
        "Sdxl",
        "SDXL",
        "StableDiffusion",
        "AutoencoderKl",
        "models::unet",
        "models::clip_text",
        "stable_diffusion::",
        "sdxl::",
        "diffusion_model.",
        "\"unet\"",
        "\"text_encoder",
        "\"tokenizer",
    ];
    let offenders = rust_files().into_iter().filter(|(file, _)| rooms.iter().any(|room| file.starts_with(room)));
    let offenders = offenders.flat_map(|(file, text)| {
        let found = marks.into_iter().filter(|mark| text.contains(mark));
        found.map(|mark| format!("{file}: {mark}")).collect::<Vec<_>>()
    });
    none(offenders.collect(), "files of weights/ and pipeline/ that know a family");
}

#[test]
fn only_the_text_room_names_the_tokenizers_library() {
    let allowed = "crates/inference/src/text/";
    let name = ["tokenizers", "::"].concat();
    let offenders = rust_files().into_iter().filter(|(file, text)| !file.starts_with(allowed) && text.contains(&name));
    none(offenders.map(|(file, _)| file).collect(), "files outside text/ that name the tokenizers library");
}

#[test]
fn every_sampler_is_in_the_table() {
    let room = "crates/inference/src/sampling/sampler/";
    let files: Vec<_> = rust_files().into_iter().filter(|(file, _)| file.starts_with(room)).collect();
    let table = files.iter().find(|(file, _)| file.ends_with("/mod.rs")).map(|(_, text)| text.clone()).unwrap();
    let offenders = files.iter().filter(|(file, text)| {
        let name = file.trim_start_matches(room).trim_end_matches(".rs");
        let is_listed = table.contains(&format!("mod {name};"));
        let is_in_table = table.contains(&format!(": {name},"));
        name != "mod" && !(is_listed && (is_in_table || !text.contains("static DEFINITION")))
    });
    none(offenders.map(|(file, _)| file.clone()).collect(), "samplers without their lines in sampler/mod.rs");
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

/// What a key may use is checked where a task is made, so that no route can forget it.
#[test]
fn routes_make_tasks_through_their_caller() {
    let routes = rust_files().into_iter().filter(|(file, _)| file.starts_with("crates/contract/src/"));
    let routes = routes.filter(|(file, _)| !file.starts_with("crates/contract/src/access/")).collect();
    let bad = |line: &str| line.contains("service.submit(") || line.contains("service.run(");
    none(lines(routes, bad), "routes that make a task without `Caller`");
}
