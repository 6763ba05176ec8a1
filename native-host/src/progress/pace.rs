//! How fast a run is and how long it will take.

use easel_inference::pipeline::Phase;

/// The speed of the phase that a run is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    phase: Option<Phase>,
    /// When the phase began: the time of the previous phase's last event.
    since: f64,
    now: f64,
    step: usize,
    of: usize,
    /// The first picture of the current batch, counted from 1, and the total.
    pub(crate) picture: usize,
    pub(crate) pictures: usize,
}

impl Pace {
    /// Starts another picture, from its first phase.
    pub(crate) fn next_picture(&mut self, picture: usize, pictures: usize) {
        *self = Self { picture, pictures, now: self.now, ..Self::default() };
    }

    /// Records a progress event.
    pub(crate) fn update(&mut self, phase: Phase, step: usize, of: usize, seconds: f64) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.since = self.now;
        }
        self.now = seconds;
        self.step = step;
        self.of = of;
    }

    /// The time of the last event, in seconds since the run began.
    pub(crate) fn now(&self) -> f64 {
        self.now
    }

    /// Seconds since the phase began.
    pub(crate) fn in_phase(&self) -> f64 {
        (self.now - self.since).max(0.0)
    }

    /// Seconds per step, after the first step.
    pub(crate) fn per_step(&self) -> Option<f64> {
        (self.step > 0).then(|| self.in_phase() / self.step as f64)
    }

    /// Seconds until the end of the phase.
    pub(crate) fn left(&self) -> Option<f64> {
        self.per_step().map(|per_step| per_step * self.of.saturating_sub(self.step) as f64)
    }

    /// `0.12 s a step, 1.4 s left`, or nothing if that is not yet known.
    pub(crate) fn describe(&self) -> String {
        match (self.per_step(), self.left()) {
            (Some(step), Some(left)) => format!("{} a step, {} left", seconds(step), seconds(left)),
            _ => String::new(),
        }
    }

    /// `picture 2 of 4: `, or nothing for a single one.
    pub(crate) fn prefix(&self) -> String {
        if self.pictures > 1 { format!("picture {} of {}: ", self.picture, self.pictures) } else { String::new() }
    }
}

/// A duration for people to read.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.0995 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_measured_within_a_phase() {
        let mut pace = Pace::default();
        pace.update(Phase::Load, 3, 3, 10.0);
        pace.update(Phase::Denoise, 1, 20, 12.0);
        pace.update(Phase::Denoise, 5, 20, 15.0);
        assert_eq!((pace.in_phase(), pace.per_step(), pace.left()), (5.0, Some(1.0), Some(15.0)));
        assert_eq!(pace.describe(), "1.0 s a step, 15 s left");
        pace.next_picture(2, 3);
        pace.update(Phase::Denoise, 0, 20, 15.5);
        assert_eq!((pace.per_step(), pace.describe()), (None, String::new()));
        assert_eq!(pace.prefix(), "picture 2 of 3: ");
    }

    #[test]
    fn durations_are_short() {
        let all: Vec<_> = [0.0, 0.034, 0.12, 9.9, 9.99, 75.0, 100.0, 600.0].map(seconds).into();
        assert_eq!(all, ["0 ms", "34 ms", "0.1 s", "9.9 s", "10 s", "75 s", "2 min", "10 min"]);
    }
}
