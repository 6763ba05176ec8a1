//! The phases of a task's work and the time that each takes, for metrics and traces, from the pipeline's progress.
//!
//! Progress says that a component begins to load or that prompts begin to be encoded, and that a step, a picture or the
//! prompts are done. What passes between two such moments belongs to what has begun before, or else to what is done after.
//! Where components are loaded in turn, the first step with a denoiser counts as loading.

use super::metrics::Metrics;
use super::trace::TaskTrace;
use easel_inference::pipeline::{Phase, Progress};
use std::time::{Duration, Instant, SystemTime};

/// A kind of work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reading a model's files.
    Load,
    /// Turning prompts into conditioning.
    Encode,
    /// A denoising step.
    Step,
    /// Turning latents into a picture.
    Decode,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Load, Self::Encode, Self::Step, Self::Decode];

    /// The stage as a label of metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Encode => "encode",
            Self::Step => "step",
            Self::Decode => "decode",
        }
    }

    /// The name of its span, which is one for all steps and pictures in a row.
    fn span(self) -> &'static str {
        match self {
            Self::Step => "steps",
            other => other.name(),
        }
    }

    /// Whether each piece of work is measured, rather than all in a row.
    fn is_single(self) -> bool {
        matches!(self, Self::Step | Self::Decode)
    }
}

impl From<Phase> for Stage {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Load => Self::Load,
            Phase::Encode => Self::Encode,
            Phase::Denoise => Self::Step,
            Phase::Decode => Self::Decode,
        }
    }
}

/// A moment by two clocks: one for durations, one for traces.
#[derive(Clone, Copy)]
struct Moment {
    instant: Instant,
    time: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }
}

/// Work of one kind in a row.
struct Row {
    stage: Stage,
    began: SystemTime,
    ended: SystemTime,
    took: Duration,
}

/// The phases of one task. Dropping it ends the last one.
pub(super) struct Phases<'a> {
    metrics: &'a Metrics,
    trace: &'a TaskTrace,
    last: Moment,
    /// What has begun and is not done.
    open: Option<Stage>,
    row: Option<Row>,
    /// The pictures that were to be encoded when that began.
    encoded: Option<usize>,
}

impl<'a> Phases<'a> {
    /// None yet.
    pub(super) fn new(metrics: &'a Metrics, trace: &'a TaskTrace) -> Self {
        Self { metrics, trace, last: Moment::now(), open: None, row: None, encoded: None }
    }

    /// The pipeline has made progress.
    pub(super) fn progress(&mut self, progress: &Progress) {
        let stage = Stage::from(progress.phase);
        if self.begins(stage, progress) {
            self.begin(stage);
        } else {
            self.done(stage);
        }
    }

    /// Whether this progress is the beginning of something rather than its end.
    fn begins(&mut self, stage: Stage, progress: &Progress) -> bool {
        match stage {
            Stage::Load => progress.step < progress.of,
            Stage::Encode => {
                let began = self.encoded.take();
                let is_end = began.is_some_and(|began| progress.step > began);
                self.encoded = (!is_end).then_some(progress.step);
                !is_end
            }
            Stage::Step | Stage::Decode => false,
        }
    }

    fn begin(&mut self, stage: Stage) {
        let now = Moment::now();
        if self.open == Some(Stage::Load) {
            self.add(Stage::Load, now);
        }
        self.open = Some(stage);
        self.last = now;
    }

    fn done(&mut self, stage: Stage) {
        let now = Moment::now();
        let is_loading = self.open.take() == Some(Stage::Load);
        self.add(if is_loading { Stage::Load } else { stage }, now);
        self.last = now;
    }

    /// The time since the last progress was spent on this.
    fn add(&mut self, stage: Stage, now: Moment) {
        let took = now.instant - self.last.instant;
        if stage.is_single() {
            self.metrics.worked(stage, took);
        }
        match &mut self.row {
            Some(row) if row.stage == stage => {
                row.ended = now.time;
                row.took += took;
            }
            _ => {
                self.end_row();
                self.row = Some(Row { stage, began: self.last.time, ended: now.time, took });
            }
        }
    }

    fn end_row(&mut self) {
        let Some(Row { stage, began, ended, took }) = self.row.take() else { return };
        if !stage.is_single() {
            self.metrics.worked(stage, took);
        }
        self.trace.phase(stage.span(), began, ended);
    }
}

impl Drop for Phases<'_> {
    fn drop(&mut self) {
        self.end_row();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use easel_jobs::Counts;

    fn events(phases: &mut Phases<'_>, list: &[(Phase, usize, usize)]) {
        for (phase, step, of) in list.iter().copied() {
            phases.progress(&Progress { phase, step, of, seconds: 0.0, preview: None });
        }
    }

    /// How often each stage was measured after these events.
    fn counts(list: &[(Phase, usize, usize)]) -> [u64; 4] {
        let metrics = Metrics::default();
        let trace = TaskTrace::default();
        let mut phases = Phases::new(&metrics, &trace);
        events(&mut phases, list);
        drop(phases);
        let text = metrics.text(Counts::default(), None).unwrap();
        Stage::ALL.map(|stage| {
            let start = format!("easel_phase_seconds_count{{phase=\"{}\"}} ", stage.name());
            text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
        })
    }

    #[test]
    fn a_task_that_loads_its_model_loads_and_encodes_once_and_counts_steps_and_pictures() {
        let load = [(Phase::Load, 0, 3), (Phase::Load, 1, 3), (Phase::Load, 2, 3), (Phase::Load, 3, 3)];
        let draw = [
            (Phase::Encode, 0, 1),
            (Phase::Encode, 1, 1),
            (Phase::Denoise, 1, 2),
            (Phase::Denoise, 2, 2),
            (Phase::Decode, 1, 1),
        ];
        assert_eq!(counts(&[load.as_slice(), &draw].concat()), [1, 1, 2, 1]);
        assert_eq!(counts(&draw), [0, 1, 2, 1]);
    }

    #[test]
    fn every_picture_of_a_task_has_its_phases() {
        let first = [(Phase::Encode, 0, 2), (Phase::Encode, 1, 2), (Phase::Denoise, 1, 2), (Phase::Decode, 1, 2)];
        let second = [(Phase::Encode, 1, 2), (Phase::Encode, 2, 2), (Phase::Denoise, 2, 2), (Phase::Decode, 2, 2)];
        assert_eq!(counts(&[first, second].concat()), [0, 2, 2, 2]);
    }

    #[test]
    fn components_that_are_loaded_in_turn_are_not_taken_for_other_work() {
        let list = [
            (Phase::Encode, 0, 1),
            (Phase::Load, 1, 3),
            (Phase::Encode, 1, 1),
            (Phase::Load, 2, 3),
            (Phase::Denoise, 1, 2),
            (Phase::Denoise, 2, 2),
            (Phase::Load, 0, 3),
            (Phase::Decode, 1, 1),
        ];
        // The encoder and the denoiser are loaded in a row.
        assert_eq!(counts(&list), [2, 0, 1, 0]);
    }

    #[test]
    fn a_cancelled_task_has_the_phases_until_then() {
        assert_eq!(counts(&[(Phase::Load, 0, 3), (Phase::Load, 1, 3)]), [1, 0, 0, 0]);
        assert_eq!(counts(&[]), [0; 4]);
    }
}
