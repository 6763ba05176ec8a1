//! Events for programs: one JSON object per line on standard output.

use super::{Display, Pace, Saved};
use crate::terminal::say_json;
use anyhow::Result;
use base64::Engine as _;
use easel_inference::pipeline::Progress;
use serde::Serialize;

/// Everything that is reported to programs; `event` is its kind.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Progress {
        phase: &'a str,
        step: u64,
        of: u64,
        /// Seconds since the run began.
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_per_step: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_left: Option<f64>,
        picture: usize,
        pictures: usize,
        /// A PNG in base64.
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<String>,
    },
    Warning {
        message: &'a str,
    },
    Device {
        name: &'a str,
    },
    Picture {
        path: String,
        format: &'a str,
        seed: u64,
        width: usize,
        height: usize,
        seconds: f64,
        parameters: &'a str,
    },
    Error {
        message: &'a str,
    },
}

impl Event<'_> {
    fn print(&self) -> Result<()> {
        say_json(self)
    }
}

/// Reports that the run failed.
pub(crate) fn error_event(message: &str) -> Result<()> {
    Event::Error { message }.print()
}

/// Reports everything as events.
pub(super) struct Json;

impl Display for Json {
    fn progress(&mut self, progress: &Progress, pace: &Pace, preview: Option<&[u8]>) {
        let event = Event::Progress {
            phase: progress.phase.name(),
            step: progress.step as u64,
            of: progress.of as u64,
            seconds: pace.now(),
            seconds_per_step: pace.per_step(),
            seconds_left: pace.left(),
            picture: pace.picture,
            pictures: pace.pictures,
            preview: preview.map(|png| base64::engine::general_purpose::STANDARD.encode(png)),
        };
        // A run continues when its output is closed; only a picture that cannot be announced is an error.
        let _ = event.print();
    }

    fn warning(&mut self, message: &str) {
        let _ = Event::Warning { message }.print();
    }

    fn device(&mut self, name: &str) {
        let _ = Event::Device { name }.print();
    }

    fn picture(&mut self, picture: &Saved<'_>) -> Result<()> {
        let path = picture.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let Saved { format, seed, width, height, seconds, parameters, .. } = *picture;
        Event::Picture { path, format, seed, width, height, seconds, parameters }.print()
    }
}
