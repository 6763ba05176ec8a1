//! Bad input leads to one line on standard error that names the cause, the right exit code, and no file.

use super::{Folder, repository};

/// Runs `generate` with the embedded model and these arguments, checks that no file appeared, and returns the error.
#[track_caller]
fn refused(code: i32, args: &[&str]) -> String {
    let folder = Folder::new();
    let outcome = folder.easel(["generate", "a red apple"].iter().chain(args));
    let message = outcome.error(code).to_owned();
    assert!(folder.files().is_empty(), "{:?}", folder.files());
    message
}

#[test]
fn sizes() {
    assert_eq!(refused(1, &["--width", "0"]), "width: must be a multiple of 8 between 16 and 4096, got 0");
    assert_eq!(refused(1, &["--height", "7"]), "height: must be a multiple of 8 between 16 and 4096, got 7");
    assert_eq!(refused(1, &["--width", "100000"]), "width: must be a multiple of 8 between 16 and 4096, got 100000");
    assert!(refused(2, &["--width", "wide"]).starts_with("invalid value 'wide' for '--width <W>'"));
}

#[test]
fn numbers() {
    assert_eq!(refused(1, &["--steps", "0"]), "steps: must be between 1 and 1000, got 0");
    assert_eq!(refused(1, &["--guidance-scale", "-1"]), "guidance_scale: must be between 0 and 100, got -1");
    assert_eq!(refused(1, &["--guidance-scale", "NaN"]), "guidance_scale: must be between 0 and 100, got NaN");
    assert_eq!(refused(1, &["--guidance-rescale", "2"]), "guidance_rescale: must be between 0 and 1, got 2");
    assert_eq!(refused(1, &["--eta", "-0.5"]), "eta: must be between 0 and 1, got -0.5");
    assert_eq!(refused(1, &["--batch-size", "0"]), "batch_size: must be between 1 and 256, got 0");
    assert!(refused(2, &["-n", "0"]).contains("0 is not in 1..=256"));
    assert!(refused(2, &["-n", "1000000000000"]).contains("is not in 1..=256"));
    assert!(refused(2, &["--quality", "101"]).contains("101 is not in 1..=100"));
}

#[test]
fn names() {
    let message = refused(1, &["--scheduler", "best"]);
    assert!(message.starts_with("scheduler: ") && message.contains("best") && message.contains("ddim"), "{message}");
    assert!(refused(1, &["--model", "no-such-model"]).starts_with("no such file, folder, "));
    assert!(refused(2, &["--device", "abacus"]).starts_with("invalid value 'abacus' for '--device"));
    assert!(refused(2, &["--colour"]).starts_with("unexpected argument '--colour' found"));
}

#[test]
fn models_that_are_not_downloaded() {
    let message = refused(1, &["--model", "sd-turbo"]);
    assert!(message.contains("stabilityai/sd-turbo") && message.contains("easel pull sd-turbo"), "{message}");
}

#[test]
fn prompts() {
    let folder = Folder::new();
    let megabyte = "word ".repeat(200_000);
    let message = folder.easel_reading(["generate", "-"], megabyte.as_bytes()).error(1).to_owned();
    assert!(message.starts_with("prompt: "), "{message}");
    let message = folder.easel_reading(["generate", "-"], &[0xff, 0xfe, 0x00]).error(1).to_owned();
    assert_eq!(message, "prompt: standard input is not UTF-8 text");
    let message = folder.easel(["generate", &"word ".repeat(20_000)]).error(1).to_owned();
    assert!(message.starts_with("prompt: "), "{message}");
    assert!(folder.easel(["generate"]).error(2).starts_with("the following required arguments were not provided: "));
    assert!(folder.files().is_empty());
}

#[test]
fn options_that_conflict() {
    assert!(refused(2, &["--mask", "mask.png"]).contains("--init-image <FILE>"));
    assert!(refused(2, &["--strength", "0.5"]).contains("--init-image <FILE>"));
    assert!(refused(2, &["--json", "--quiet"]).contains("cannot be used with"));
    assert_eq!(refused(2, &["-o", "x.png", "--format", "jpeg"]), "--format jpeg contradicts the name x.png");
    assert_eq!(refused(2, &["-o", "x.gif"]), "x.gif: cannot write .gif files, only png, jpeg and webp");
    assert_eq!(refused(2, &["-o", "x.png", "--quality", "5"]), "--quality is for jpeg, the format is png");
    assert_eq!(refused(2, &["-o", "-", "-n", "2"]), "several pictures cannot go to standard output");
    assert_eq!(
        refused(2, &["-o", "-", "--preview"]),
        "--preview needs a picture file: the preview is written next to it"
    );
}

#[test]
fn output_folders() {
    let message = refused(1, &["-o", "gone/x.png"]);
    assert!(message.starts_with("gone: cannot write to this folder: "), "{message}");
    let folder = Folder::new();
    std::fs::write(folder.path("file"), b"").unwrap();
    let message = folder.easel(["generate", "a cat", "-o", "file/x.png"]).error(1).to_owned();
    assert!(message.starts_with("file: cannot write to this folder: "), "{message}");
    assert_eq!(folder.files(), ["file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn folders_that_cannot_be_written_to() {
    // Not even root can create a file there.
    let message = refused(1, &["-o", "/proc/x.png"]);
    assert!(message.starts_with("/proc: cannot write to this folder: "), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let message = refused(1, &["--model", "stub", "-q", "-o", "/dev/full"]);
    assert_eq!(message, "/dev/full: No space left on device (os error 28)");
}

#[test]
fn existing_files_are_kept() {
    let folder = Folder::new();
    std::fs::write(folder.path("x.png"), b"mine").unwrap();
    let message = folder.easel(["generate", "a cat", "-o", "x.png"]).error(1).to_owned();
    assert_eq!(message, "x.png: the file exists (--force replaces it)");
    assert_eq!(folder.read("x.png"), b"mine");
}

#[test]
fn files_that_are_not_pictures() {
    let folder = Folder::new();
    std::fs::write(folder.path("text.png"), b"this is not a picture").unwrap();
    let stub = folder.easel(["generate", "a", "--model", "stub", "--width", "64", "--height", "64", "-o", "whole.png"]);
    assert_eq!(stub.code, Some(0), "{}", stub.stderr);
    let whole = folder.read("whole.png");
    std::fs::write(folder.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    for (file, option) in [("text.png", "--init-image"), ("cut.png", "--init-image"), ("gone.png", "--init-image")] {
        let message = folder.easel(["generate", "a", option, file, "-o", "out.png"]).error(1).to_owned();
        assert!(message.starts_with(&format!("{file}: ")), "{message}");
    }
    for file in ["text.png", "gone.png"] {
        assert!(folder.easel(["metadata", file]).error(1).starts_with(&format!("{file}: ")));
        assert!(folder.easel(["generate", "--from", file]).error(1).starts_with(&format!("{file}: ")));
    }
    assert_eq!(folder.files(), ["cut.png", "text.png", "whole.png"]);
}

#[test]
fn pictures_without_settings() {
    let folder = Folder::new();
    let plain = repository("tests/golden/easel-emoji/case0.png");
    let message = folder.easel(["metadata".as_ref(), plain.as_os_str()]).error(1).to_owned();
    assert!(message.ends_with("case0.png: no generation settings in this picture"), "{message}");
}

/// A safetensors file with data for two f32 numbers and this header.
fn safetensors(header: &str) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 8]);
    bytes
}

#[test]
fn broken_model_files() {
    let tensor = |dtype: &str, shape: &str, end: u64| {
        format!("{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    let cases = [
        ("empty.safetensors", Vec::new()),
        ("magic.safetensors", b"not a model file at all, just some text".to_vec()),
        ("long-header.safetensors", u64::MAX.to_le_bytes().to_vec()),
        ("truncated.safetensors", safetensors(&tensor("F32", "[200]", 800))),
        ("mismatch.safetensors", safetensors(&tensor("F32", "[3]", 8))),
        ("other-model.safetensors", safetensors(&tensor("F32", "[2]", 8))),
        ("magic.ckpt", b"neither zip nor pickle".to_vec()),
    ];
    for (name, bytes) in cases {
        let folder = Folder::new();
        std::fs::write(folder.path(name), bytes).unwrap();
        for command in [vec!["inspect", name], vec!["generate", "a", "-o", "out.png", "--model", name]] {
            // `inspect` shows any file of tensors; only `generate` needs a model.
            if name.starts_with("other-model") && command[0] == "inspect" {
                continue;
            }
            let message = folder.easel(&command).error(1).to_owned();
            assert!(message.contains(name), "{command:?}: {message}");
        }
        assert_eq!(folder.files(), [name]);
    }
}

#[test]
fn folders_that_are_not_models() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).unwrap();
    assert!(folder.easel(["inspect", "empty"]).error(1).contains("empty"));
    assert!(folder.easel(["generate", "a", "--model", "empty", "-o", "x.png"]).error(1).contains("empty"));
    assert_eq!(folder.files(), ["empty"]);
}
