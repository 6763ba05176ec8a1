//! Runs with little memory, which `EASEL_MEMORY` simulates.

use super::{Folder, Outcome};
use serde_json::Value;

/// Two quick steps of the embedded model, where this many bytes are free.
fn draw(folder: &Folder, free: Option<u64>, args: &[&str]) -> Outcome {
    let mut command = folder.command(["generate", "a red apple", "--steps", "2", "--seed", "7", "--device", "cpu"]);
    if let Some(free) = free {
        command.env("EASEL_MEMORY", free.to_string());
    }
    Outcome::new(command.args(args).output().unwrap())
}

/// What `easel inspect` says of the embedded model.
fn memory(folder: &Folder) -> Value {
    folder.easel(["inspect", "easel-emoji", "--json"]).json()[0]["memory"].clone()
}

#[test]
fn inspect_shows_what_a_model_takes() {
    let folder = Folder::new();
    let memory = memory(&folder);
    assert_eq!((memory["width"].as_u64(), memory["height"].as_u64()), (Some(128), Some(128)));
    let names: Vec<_> = memory["components"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    assert_eq!(names, ["text_encoder", "unet", "vae"]);
    let bytes = |field: &str| memory[field].as_u64().unwrap();
    assert!(bytes("offload") < bytes("low_memory") && bytes("low_memory") < bytes("all_at_once"), "{memory}");
    assert!(bytes("free") > 1 << 20, "{memory}");
    let table = folder.easel(["inspect", "easel-emoji"]);
    for part in ["MEMORY AT 128x128", "all at once", "--low-memory", "--offload", "WebGPU does not tell"] {
        assert!(table.text().contains(part), "{}", table.text());
    }
    let part = folder.easel(
        ["inspect", "--json"]
            .map(str::to_owned)
            .into_iter()
            .chain([super::repository("models/easel-emoji/vae").display().to_string()]),
    );
    assert_eq!(part.json()[0]["memory"], Value::Null);
}

#[test]
fn components_are_loaded_in_turn_where_not_all_of_them_fit() {
    let folder = Folder::new();
    let memory = memory(&folder);
    let free = memory["low_memory"].as_u64().unwrap() + 1000;
    let all = draw(&folder, None, &["-o", "all.png"]);
    all.text();
    assert!(!all.stderr.contains("--low-memory"), "{}", all.stderr);
    let in_turn = draw(&folder, Some(free), &["-o", "in-turn.png"]);
    in_turn.text();
    assert!(in_turn.stderr.contains("one component is loaded at a time (--low-memory)"), "{}", in_turn.stderr);
    assert_eq!(folder.read("in-turn.png"), folder.read("all.png"));
    let asked = draw(&folder, Some(free), &["--low-memory", "-o", "asked.png"]);
    asked.text();
    assert!(!asked.stderr.contains("--low-memory"), "{}", asked.stderr);
    draw(&folder, None, &["--offload", "-o", "offload.png"]).text();
    assert_eq!(folder.read("offload.png"), folder.read("all.png"));
}

#[test]
fn what_does_not_fit_is_refused_with_numbers_and_advice() {
    let folder = Folder::new();
    let offload = memory(&folder)["offload"].as_u64().unwrap();
    let outcome = draw(&folder, Some(offload + 1000), &["-o", "a.png"]);
    let message = outcome.error(1);
    assert!(message.starts_with("not enough memory: at least ") && message.contains("--offload needs"), "{message}");
    let outcome = draw(&folder, Some(1 << 20), &["--offload", "-o", "a.png"]);
    let message = outcome.error(1);
    assert!(message.contains(" needed, 1 MiB free; "), "{message}");
    assert!(folder.files().is_empty());
}
