//! Plain lines for pipes and logs: one per phase, four for the long one.

use super::{Display, Pace, Saved, describe, pace};
use crate::terminal::{note, say};
use anyhow::Result;
use easel_inference::pipeline::Progress;

/// Progress as lines on standard error, pictures as lines on standard output.
pub(super) struct Lines;

impl Display for Lines {
    fn progress(&mut self, progress: &Progress, pace: &Pace, _preview: Option<&[u8]>) {
        if !is_milestone(progress.step, progress.of) {
            return;
        }
        let Progress { step, of, .. } = *progress;
        let end = if step == of { pace::seconds(pace.in_phase()) } else { pace.describe() };
        note(format_args!("{}{} {step}/{of}, {end}", pace.prefix(), progress.phase.name()));
    }

    fn warning(&mut self, message: &str) {
        note(format_args!("easel: warning: {message}"));
    }

    fn device(&mut self, name: &str) {
        note(format_args!("easel: computing on {name}"));
    }

    fn picture(&mut self, picture: &Saved<'_>) -> Result<()> {
        print(&describe(picture), picture.path.is_some())
    }
}

/// The end of every phase, and the quarters of a long one.
fn is_milestone(step: usize, of: usize) -> bool {
    step == of || (of >= 8 && step > 0 && step * 4 / of > (step - 1) * 4 / of)
}

/// Prints a line about a finished picture, on standard error if the picture itself went to standard output.
pub(super) fn print(line: &str, on_stdout: bool) -> Result<()> {
    if on_stdout {
        return say(line);
    }
    note(line);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_milestone;

    #[test]
    fn a_pipe_gets_few_lines() {
        let milestones = |of| (0..=of).filter(|step| is_milestone(*step, of)).collect::<Vec<_>>();
        assert_eq!(milestones(3), [3]);
        assert_eq!(milestones(20), [5, 10, 15, 20]);
        assert_eq!(milestones(1000), [250, 500, 750, 1000]);
        assert_eq!(milestones(9), [3, 5, 7, 9]);
    }
}
