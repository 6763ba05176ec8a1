//! The built `easel` command, run as a user runs it.

mod analyze;
mod bad_input;
mod commands;
mod generate;
mod hostile;
mod interrupt;
mod memory;
mod pull;

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The result of a run.
struct Outcome {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Outcome {
    fn new(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Standard output of a run that succeeded.
    #[track_caller]
    fn text(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output of a run that succeeded, one JSON value per line.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The message of a run that failed with this code: one line, and nothing on standard output.
    #[track_caller]
    fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "stderr: {}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{}", String::from_utf8_lossy(&self.stdout));
        self.stderr.trim_end().strip_prefix("easel: ").unwrap()
    }
}

/// The working folder, deleted at the end of the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command, in this folder and without settings from the environment.
    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easel"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        for name in [
            "EASEL_MODEL",
            "MODEL",
            "EASEL_CLIP",
            "EASEL_SAM",
            "EASEL_DEVICE",
            "EASEL_GPU",
            "HF_TOKEN",
            "HF_ENDPOINT",
            "HF_HUB_CACHE",
        ] {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.path("hf"));
        command
    }

    fn easel<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        Outcome::new(self.command(args).output().unwrap())
    }

    /// The same with text on standard input.
    fn easel_reading<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Outcome {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The command may stop reading early, for example if the text is too long.
        let _ = child.stdin.take().unwrap().write_all(input);
        Outcome::new(child.wait_with_output().unwrap())
    }

    /// The names of all files, in order.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
