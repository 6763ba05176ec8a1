//! Which training timesteps a run visits, in numpy's arithmetic. Lin et al., <https://arxiv.org/abs/2305.08891>, table
//! 2, compares the spacings.

use super::config::{SchedulerConfig, Spacing};

/// `numpy.linspace`: `count` numbers from `start` to `end`, both included.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let step = (end - start) / (count.max(2) - 1) as f64;
    let mut numbers: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    if let (true, Some(last)) = (count > 1, numbers.last_mut()) {
        *last = end;
    }
    numbers
}

/// `count` integer timesteps down from `from - 1`, `stride` apart, the lowest well above zero.
fn trailing(from: usize, stride: f64, count: usize) -> Vec<f64> {
    let from = from as f64;
    // numpy.arange steps by the difference of its first two entries. For some counts (61 of 1000) it yields one entry
    // too many, timestep -1, which is meaningless: only `count` are taken.
    let stride = from - (from - stride);
    (0..count).map(|i| (from - i as f64 * stride).round_ties_even() - 1.0).collect()
}

/// `steps` timesteps from noisy to clean; with `whole`, evenly spaced ones are rounded to integers.
pub(super) fn timesteps(config: &SchedulerConfig, steps: usize, whole: bool) -> Vec<f64> {
    let train = config.train_timesteps;
    match config.spacing {
        Spacing::Linspace => {
            let spaced = linspace(0.0, (train - 1) as f64, steps).into_iter().rev();
            // diffusers casts to f32 where it does not round.
            spaced.map(|t| if whole { t.round_ties_even() } else { f64::from(t as f32) }).collect()
        }
        Spacing::Leading => leading(train / steps, config.steps_offset, 0..steps),
        Spacing::Trailing => trailing(train, train as f64 / steps as f64, steps),
    }
}

/// `steps` integer timesteps from noisy to clean for the DPM solvers: one more is spaced, and the last, the end of the
/// final step, is left out.
pub(super) fn timesteps_to_end(config: &SchedulerConfig, last: usize, steps: usize) -> Vec<f64> {
    match config.spacing {
        Spacing::Linspace => {
            let spaced = linspace(0.0, last as f64 - 1.0, steps + 1);
            spaced[1..].iter().rev().map(|t| t.round_ties_even()).collect()
        }
        Spacing::Leading => leading(last / (steps + 1), config.steps_offset, 1..steps + 1),
        Spacing::Trailing => {
            let stride = config.train_timesteps as f64 / steps as f64;
            let count = (last as f64 / stride).ceil() as usize;
            trailing(last, stride, count.min(steps))
        }
    }
}

fn leading(stride: usize, offset: f64, range: std::ops::Range<usize>) -> Vec<f64> {
    range.rev().map(|i| (i * stride) as f64 + offset).collect()
}

/// `numpy.interp` at `x` in a table over 0, 1, 2, ..; the ends continue flat.
pub(super) fn interpolate(x: f64, table: &[f32]) -> f64 {
    let entry = |i: usize| f64::from(table.get(i).copied().unwrap_or(f32::NAN));
    let last = table.len().saturating_sub(1);
    if x <= 0.0 {
        entry(0)
    } else if x >= last as f64 {
        entry(last)
    } else {
        let below = x.floor();
        let i = below as usize;
        (entry(i + 1) - entry(i)) * (x - below) + entry(i)
    }
}
