//! `easel pull`: downloads a model from the Hugging Face hub into its cache.

use crate::args::PullArgs;
use crate::download::{self, Download};
use crate::interrupt;
use crate::terminal::{bytes, note, say, say_json};
use anyhow::{Result, bail};
use easel_host::names::{self, Place};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;

/// Downloads missing files and prints the model's folder.
pub(crate) fn pull(args: &PullArgs) -> Result<()> {
    let repository = match names::resolve(&args.name)? {
        Place::Hub(repository) => repository,
        Place::Path(path) => bail!("{}: exists on this machine as a file or folder", path.display()),
        Place::Stub | Place::Embedded => bail!("{} is built in: there is nothing to download", args.name),
    };
    let cancel = interrupt::cancel_token()?;
    let mut display = Display::new(args);
    let folder = download::pull(&repository, args, move |download| display.show(download), &cancel)?;
    let path = folder.display().to_string();
    match (args.json, args.quiet) {
        (true, _) => say_json(&json!({ "event": "model", "repository": repository, "path": path })),
        (_, true) => Ok(()),
        _ => say(path),
    }
}

/// The display of a download.
enum Display {
    Bar(ProgressBar),
    /// The file that was reported last.
    Lines(String),
    Json,
    Quiet,
}

impl Display {
    fn new(args: &PullArgs) -> Self {
        if args.json {
            return Self::Json;
        }
        if args.quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(String::new());
        }
        let template = "{msg}  [{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
    }

    fn show(&mut self, Download { file, done, of }: Download<'_>) {
        match self {
            Self::Bar(bar) => {
                if bar.message() != file {
                    bar.set_message(file.to_owned());
                    bar.reset_eta();
                }
                bar.set_length(of);
                bar.set_position(done);
            }
            Self::Lines(last) if last != file => {
                note(format_args!("{file}  {}", bytes(of)));
                file.clone_into(last);
            }
            Self::Json => {
                let event = json!({ "event": "progress", "phase": "download", "file": file, "step": done, "of": of });
                // A download continues when its output is closed.
                let _ = say_json(&event);
            }
            Self::Lines(_) | Self::Quiet => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
