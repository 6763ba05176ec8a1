//! Limits the work of a submit, so that none triggers a watchdog.

use parking_lot::Mutex;
use std::sync::Arc;
use web_time::{Duration, Instant};

/// The target duration of a submit. Windows resets a GPU after two seconds; browsers need much less.
const TARGET: Duration = Duration::from_millis(100);

/// Multiply-adds in a submit before anything is measured: a tenth of a second at 20 GFLOP/s.
const FIRST: u64 = 1_000_000_000;

/// The limits of the budget: below, the overhead of submits dominates; above, a wrong measurement would be harmful.
const BOUNDS: (u64, u64) = (100_000_000, 20_000_000_000_000);

/// Measures the device's speed from the duration of submits.
#[derive(Clone, Default)]
pub(crate) struct Pacing(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    budget: Option<u64>,
    last_done: Option<Instant>,
}

impl Pacing {
    /// The most work for the next submit.
    pub(crate) fn budget(&self) -> u64 {
        self.0.lock().budget.unwrap_or(FIRST)
    }

    /// Measures the submit that was just made.
    pub(crate) fn submitted(&self, queue: &wgpu::Queue, cost: u64) {
        let pacing = self.clone();
        let start = Instant::now();
        queue.on_submitted_work_done(move || pacing.done(cost, start, Instant::now()));
    }

    /// Records a submit of `cost` that was made at `start` and seen finished at `end`. It may have waited for the
    /// previous one.
    fn done(&self, cost: u64, start: Instant, end: Instant) {
        let mut state = self.0.lock();
        let began = state.last_done.map_or(start, |last| last.max(start));
        let took = end.saturating_duration_since(began).max(Duration::from_micros(10));
        state.last_done = Some(end);
        let budget = state.budget.unwrap_or(FIRST);
        let fitting = cost as f64 * TARGET.as_secs_f64() / took.as_secs_f64();
        // A fast submit is only meaningful if it was nearly full. A slow one may have been noticed late, so a single
        // measurement at most halves the budget.
        let next = if took > TARGET {
            fitting.max(budget as f64 / 2.0)
        } else if cost >= budget / 2 {
            fitting.min(budget as f64 * 2.0)
        } else {
            return;
        };
        state.budget = Some((next as u64).clamp(BOUNDS.0, BOUNDS.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pacing: &Pacing, cost: u64, took: Duration) -> u64 {
        let start = Instant::now();
        pacing.done(cost, start, start + took);
        pacing.0.lock().last_done = None;
        pacing.budget()
    }

    #[test]
    fn a_slow_submit_shrinks_the_next_by_half_at_most() {
        assert_eq!(after(&Pacing::default(), FIRST, Duration::from_millis(160)), FIRST / 8 * 5);
        assert_eq!(after(&Pacing::default(), FIRST, Duration::from_secs(5)), FIRST / 2);
    }

    #[test]
    fn a_fast_full_submit_doubles_the_next_at_most() {
        assert_eq!(after(&Pacing::default(), FIRST, Duration::from_millis(1)), FIRST * 2);
    }

    #[test]
    fn a_fast_small_submit_says_nothing() {
        assert_eq!(after(&Pacing::default(), FIRST / 10, Duration::from_millis(1)), FIRST);
    }

    #[test]
    fn time_spent_behind_another_submit_is_not_counted() {
        let pacing = Pacing::default();
        let start = Instant::now();
        let ms = Duration::from_millis;
        pacing.done(FIRST, start, start + ms(100));
        pacing.done(FIRST, start, start + ms(200));
        assert_eq!(pacing.budget(), FIRST);
    }
}
