//! The bar on a terminal: phase, step, seconds per step and seconds left.

use super::{Display, Pace, Saved, describe};
use crate::terminal::note;
use anyhow::Result;
use easel_inference::pipeline::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar that is redrawn in place, a new one for every phase of every picture.
#[derive(Default)]
pub(super) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    fn line(&mut self, line: impl FnOnce() -> Result<()>) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(line),
            None => line(),
        }
    }
}

/// The bar's layout for a phase.
fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} [{bar:32}] {pos}/{len}  {msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Display for Bar {
    fn progress(&mut self, progress: &Progress, pace: &Pace, _preview: Option<&[u8]>) {
        let label = format!("{}{:<7}", pace.prefix(), progress.phase.name());
        if self.bar.as_ref().is_none_or(|bar| bar.prefix() != label) {
            self.finish();
        }
        let of = progress.of as u64;
        let bar = self.bar.get_or_insert_with(|| ProgressBar::new(of).with_style(style()).with_prefix(label));
        if progress.phase == Phase::Denoise {
            bar.set_message(pace.describe());
        }
        bar.set_position(progress.step as u64);
    }

    fn warning(&mut self, message: &str) {
        // The closure cannot fail.
        let _ = self.line(|| {
            note(format_args!("easel: warning: {message}"));
            Ok(())
        });
    }

    fn device(&mut self, name: &str) {
        // The closure cannot fail.
        let _ = self.line(|| {
            note(format_args!("easel: computing on {name}"));
            Ok(())
        });
    }

    fn picture(&mut self, picture: &Saved<'_>) -> Result<()> {
        let text = describe(picture);
        let on_stdout = picture.path.is_some();
        self.line(|| super::lines::print(&text, on_stdout))
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
