//! How a run reports to its user: a bar on a terminal, plain lines in a pipe, JSON events for programs, or nothing.

mod bar;
mod json;
mod lines;
mod pace;
mod preview;

pub(crate) use json::error_event;
pub(crate) use pace::Pace;

use crate::args::OutputArgs;
use crate::output::Output;
use anyhow::Result;
use easel_inference::pipeline::{Progress, Watcher};
use preview::Preview;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

/// One way to show a run. Only announcing a picture can fail: a run continues when its output is closed.
pub(crate) trait Display {
    /// Shows progress; `preview` is an encoded PNG.
    fn progress(&mut self, _progress: &Progress, _pace: &Pace, _preview: Option<&[u8]>) {}

    /// Shows a warning; the run continues.
    fn warning(&mut self, message: &str);

    /// Shows which device was chosen.
    fn device(&mut self, name: &str);

    /// Shows a picture that was written.
    fn picture(&mut self, picture: &Saved<'_>) -> Result<()>;

    /// The run is over: removes what is drawn on the terminal.
    fn finish(&mut self) {}
}

/// A picture that was written.
pub(crate) struct Saved<'a> {
    /// The file; `None` is standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) format: &'static str,
    pub(crate) seed: u64,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Seconds since the run began or since the previous picture.
    pub(crate) seconds: f64,
    /// The settings, as in the metadata.
    pub(crate) parameters: &'a str,
}

/// Shows nothing but errors.
struct Quiet;

impl Display for Quiet {
    fn warning(&mut self, _message: &str) {}

    fn device(&mut self, _name: &str) {}

    fn picture(&mut self, _picture: &Saved<'_>) -> Result<()> {
        Ok(())
    }
}

/// Reports a run to the display.
pub(crate) struct Report {
    display: Box<dyn Display>,
    preview: Option<Preview>,
    pace: Pace,
    began: Instant,
    last_picture: f64,
    last_warning: String,
}

impl Report {
    /// The display that the options and the terminal call for.
    pub(crate) fn new(args: &OutputArgs, output: &Output) -> Self {
        let display: Box<dyn Display> = if args.json {
            Box::new(json::Json)
        } else if args.quiet {
            Box::new(Quiet)
        } else if std::io::stderr().is_terminal() {
            Box::new(bar::Bar::default())
        } else {
            Box::new(lines::Lines)
        };
        let preview = args.preview.then(|| output.preview_path()).flatten().map(Preview::new);
        let began = Instant::now();
        let last_picture = 0.0;
        let last_warning = String::new();
        Self { display, preview, pace: Pace::default(), began, last_picture, last_warning }
    }

    /// Announces the next picture, out of `of`.
    pub(crate) fn next(&mut self, first: usize, of: usize) {
        self.pace.next_picture(first, of);
    }

    /// Reports which device was chosen.
    pub(crate) fn device(&mut self, name: &str) {
        self.display.device(name);
    }

    /// Seconds since the previous picture, or since the run began.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = self.clock();
        now - std::mem::replace(&mut self.last_picture, now)
    }

    /// Reports a picture that was written.
    pub(crate) fn picture(&mut self, picture: &Saved<'_>) -> Result<()> {
        self.display.picture(picture)
    }
}

impl Watcher for Report {
    fn progress(&mut self, progress: &Progress) {
        // This clock started before loading; the pipeline's did not.
        self.pace.update(progress.phase, progress.step, progress.of, self.clock());
        let mut encoded = None;
        if let (Some(preview), Some(image)) = (&mut self.preview, &progress.preview) {
            match preview.show(image) {
                Ok(bytes) => encoded = Some(bytes),
                Err(error) => self.display.warning(&format!("no preview: {error:#}")),
            }
        }
        self.display.progress(progress, &self.pace, encoded.as_deref());
    }

    fn warning(&mut self, message: &str) {
        // Every batch of a run repeats the same warnings.
        if self.last_warning != message {
            self.display.warning(message);
            message.clone_into(&mut self.last_warning);
        }
    }

    fn clock(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.display.finish();
    }
}

/// A readable line about a picture that was written.
fn describe(picture: &Saved<'_>) -> String {
    let path = picture.path.as_ref().map_or("standard output".into(), |path| path.display().to_string());
    let Saved { width, height, seed, seconds, .. } = picture;
    format!("{path}: {width}x{height}, seed {seed}, {}", pace::seconds(*seconds))
}
