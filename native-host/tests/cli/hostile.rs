//! Files from strangers and odd output paths: nothing in them is obeyed, and only files that the user named are opened.

use super::Folder;
use easel_picture::{EncodeOptions, Image, ImageFormat};
use std::path::Path;

/// A picture with this text as its settings.
fn picture(path: &Path, settings: &str) {
    let options = EncodeOptions { parameters: Some(settings), ..EncodeOptions::default() };
    std::fs::write(path, Image::stub(8, 8).unwrap().encode(ImageFormat::Png, &options).unwrap()).unwrap();
}

#[test]
fn f20_metadata_and_tensor_names_are_shown_with_escapes_made_visible() {
    let folder = Folder::new();
    picture(&folder.path("x.png"), "a cat\u{1b}[2J\u{9b}1m\nSteps: 2, Seed: 1, Size: 64x64");
    let shown = folder.easel(["metadata", "x.png"]).text().to_owned();
    assert!(shown.starts_with("a cat\\u{1b}[2J\\u{9b}1m\nSteps: 2"), "{shown:?}");
    assert!(!folder.easel(["metadata", "--json", "x.png"]).text().contains('\u{9b}'));

    let header = r#"{"\u001b[2J":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 8]);
    std::fs::write(folder.path("x.safetensors"), bytes).unwrap();
    let shown = folder.easel(["inspect", "--tensors", "x.safetensors"]).text().to_owned();
    assert!(shown.contains("\\u{1b}[2J") && !shown.contains('\u{1b}'), "{shown:?}");
    let missing = folder.easel(["metadata", "\u{1b}[2J.png"]).error(1).to_owned();
    assert!(!missing.contains('\u{1b}'), "{missing:?}");
}

#[test]
fn f20_a_path_in_metadata_is_not_opened() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("somewhere")).unwrap();
    picture(&folder.path("x.png"), "a cat\nSteps: 2, Seed: 1, Size: 64x64, Model: ./somewhere");
    let message = folder.easel(["generate", "--from", "x.png", "-o", "out.png"]).error(1).to_owned();
    assert!(message.contains("\"./somewhere\"") && message.ends_with("set it with --model"), "{message}");
    folder.easel(["generate", "--from", "x.png", "-o", "out.png", "--model", "stub"]).text();
}

#[test]
fn f20_a_seed_that_cannot_be_understood_is_not_replaced_by_a_random_one() {
    let folder = Folder::new();
    picture(&folder.path("x.png"), "a cat\nSteps: 2, Seed: 18446744073709551616, Size: 64x64, Model: stub");
    let message = folder.easel(["generate", "--from", "x.png", "-o", "out.png"]).error(1).to_owned();
    assert!(message.contains("Seed") && message.contains("\"18446744073709551616\""), "{message}");
    folder.easel(["generate", "--from", "x.png", "-o", "out.png", "--seed", "1"]).text();
    let option = ["generate", "a", "--model", "stub", "--seed", "18446744073709551616"];
    assert!(folder.easel(option).error(2).starts_with("invalid value '18446744073709551616' for '--seed"));
}

#[test]
fn f12_settings_beyond_the_model_are_refused_by_its_configuration() {
    let folder = Folder::new();
    let refused =
        |args: &[&str]| folder.easel([&["generate", "a cat", "-o", "x.png"], args].concat()).error(1).to_owned();
    assert!(refused(&["--scheduler", "pndm", "--steps", "3"]).starts_with("steps: must be at least 4"));
    assert!(refused(&["--scheduler", "lcm", "--steps", "51"]).starts_with("steps: must be at most 50"));
    assert!(refused(&["--scheduler", "flow-match-euler"]).starts_with("scheduler: "));
    assert!(folder.files().is_empty());
}

#[cfg(unix)]
#[test]
fn f20_unwritable_places_are_refused_before_drawing() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("nowhere.png", folder.path("link.png")).unwrap();
    std::fs::create_dir(folder.path("x-2.png")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path("pipe.png")).status();
    assert!(made.unwrap().success());
    // Steps that would take minutes.
    let refused = |args: &[&str]| {
        let command = ["generate", "a cat", "--steps", "1000", "--width", "1024", "--height", "1024"];
        folder.easel([&command, args].concat()).error(1).to_owned()
    };
    assert_eq!(refused(&["-o", "link.png"]), "link.png: is a link to a missing file");
    assert_eq!(refused(&["-o", "pipe.png"]), "pipe.png: not a file or a device; use `-o -` to write to a pipe");
    assert_eq!(refused(&["-o", "x.png", "-n", "2"]), "x-2.png: is a folder");
    let message = refused(&["--init-image", "pipe.png", "-o", "out.png"]);
    assert_eq!(message, "pipe.png: not a file, expected a picture file");
    assert_eq!(folder.easel(["inspect", "pipe.png"]).code, Some(1));
}
