//! The sampling schedule of a run: timesteps and sigmas, for each family of solvers.

use super::betas::Training;
use super::config::{BetaSchedule, Respacing, SchedulerConfig};
use super::definition::Setup;
use super::sigmas::{karras, logarithms, timestep_of};
use super::spacing::{interpolate, linspace, timesteps, timesteps_to_end};
use super::{PredictionType, TimestepOptions};
use crate::{Error, Result};

/// The nodes of a run, from noise to image.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    /// The training timesteps for the model, one per call.
    pub(super) timesteps: Vec<f64>,
    /// The noise level at every node, with the end of the last step. Empty for solvers that look it up by timestep.
    pub(super) sigmas: Vec<f32>,
}

impl Schedule {
    /// Fails on infinite or undefined entries: a configuration can lead to the logarithm of zero.
    pub(super) fn check(&self) -> Result<()> {
        let finite = self.timesteps.iter().all(|t| t.is_finite()) && self.sigmas.iter().all(|s| s.is_finite());
        if finite { Ok(()) } else { Err(Error::NotFinite { what: "the sampling schedule".into(), hint: "" }) }
    }
}

fn round_to_f32(sigmas: impl IntoIterator<Item = f64>) -> Vec<f32> {
    sigmas.into_iter().map(|sigma| sigma as f32).collect()
}

/// Particularities of single k-diffusion solvers, all off by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExplodingRules {
    /// Rounds the timesteps of Karras sigmas.
    pub(super) whole_karras_timesteps: bool,
    /// Karras sigmas keep the ends of the schedule even if the configuration sets others.
    pub(super) karras_keeps_ends: bool,
    /// Spaces sigmas evenly in their logarithm.
    pub(super) log_linear: bool,
    /// Velocity models that were trained on continuous noise levels get the level instead of a timestep.
    pub(super) continuous_timesteps: bool,
}

/// The schedule of the k-diffusion solvers (Euler, Heun, LMS, DPM2), one sigma per step and the final one.
pub(super) fn exploding(setup: &Setup<'_>, rules: &ExplodingRules, training: &Training) -> Result<Schedule> {
    let Setup { config, timesteps: options, steps, .. } = *setup;
    let table = training.sigmas();
    let log_sigmas = logarithms(&table);
    let continuous = rules.continuous_timesteps && config.prediction == PredictionType::V;
    if let Some(sigmas) = &options.sigmas {
        let timesteps = sigmas.iter().take(steps).map(|sigma| timestep_of(f64::from(*sigma as f32), &log_sigmas));
        let schedule = Schedule { timesteps: timesteps.collect(), sigmas: round_to_f32(sigmas.iter().copied()) };
        return Ok(if continuous { levels_as_timesteps(schedule) } else { schedule });
    }
    if continuous || config.sigmas.respacing != Respacing::None {
        refuse_timesteps(options)?;
    }
    let mut visited = options.timesteps.clone().unwrap_or_else(|| timesteps(config, steps, false));
    let mut sigmas: Vec<f64> = visited.iter().map(|t| interpolate(*t, &table)).collect();
    if let (true, [first, .., last]) = (rules.log_linear, &table[..]) {
        // As in diffusers, there is one more sigma than steps, and the final one still follows.
        let logs = linspace(f64::from(last.ln()), f64::from(first.ln()), steps + 1);
        sigmas = logs.into_iter().map(f64::exp).collect();
    }
    let [first, last] = [sigmas.first(), sigmas.last()].map(|sigma| sigma.copied().unwrap_or(f64::NAN));
    let is_karras = config.sigmas.respacing == Respacing::Karras;
    let respaced = match is_karras && rules.karras_keeps_ends {
        true => Some(karras(first, last, steps)),
        false => config.respaced(first, last, steps),
    };
    if let Some(respaced) = respaced {
        visited = respaced.iter().map(|sigma| timestep_of(*sigma, &log_sigmas)).collect();
        sigmas = respaced;
        if is_karras && rules.whole_karras_timesteps {
            visited.iter_mut().for_each(|t| *t = t.round_ties_even());
        }
    }
    let end = if config.sigmas.end_at_min { table.first().copied().unwrap_or(0.0) } else { 0.0 };
    sigmas.push(f64::from(end));
    let schedule = Schedule { timesteps: visited, sigmas: round_to_f32(sigmas) };
    Ok(if continuous { levels_as_timesteps(schedule) } else { schedule })
}

/// Replaces every timestep with its noise level, as a quarter of the logarithm.
fn levels_as_timesteps(mut schedule: Schedule) -> Schedule {
    let steps = schedule.timesteps.len();
    schedule.timesteps = schedule.sigmas.iter().take(steps).map(|sigma| f64::from(0.25 * sigma.ln())).collect();
    schedule
}

fn refuse_timesteps(options: &TimestepOptions) -> Result<()> {
    match options.timesteps {
        Some(_) => {
            Err(Error::invalid("timesteps", "this scheduler's sigmas determine its timesteps; give a number of steps"))
        }
        None => Ok(()),
    }
}

/// Particularities of single solvers of the DPM-Solver family.
#[derive(Clone, Copy)]
pub(super) struct LogSnrRules {
    /// The sigmas of a flow, without the final one.
    pub(super) flow_sigmas: fn(&Setup<'_>) -> Vec<f64>,
    /// Karras sigmas on a flow are noise per unit of image and are converted to shares of noise.
    pub(super) karras_on_flows: bool,
    /// With the cosine training schedule, the timesteps of Karras and Lu sigmas are truncated instead of rounded.
    pub(super) cuts_cosine_timesteps: bool,
    /// The sigma that the last step leads to.
    pub(super) end: fn(&End) -> f64,
}

/// The candidates for the sigma after the last step.
pub(super) struct End {
    /// The smallest training sigma.
    pub(super) smallest: f64,
    /// The sigma of the last call.
    pub(super) last: f64,
    /// Whether the sigmas follow from the timesteps.
    pub(super) from_timesteps: bool,
    /// Whether the configuration ends at the smallest sigma instead of at zero.
    pub(super) at_min: bool,
}

impl End {
    /// The smallest sigma or zero, as the configuration says.
    pub(super) fn configured(&self) -> f64 {
        if self.at_min { self.smallest } else { 0.0 }
    }
}

/// The calls of a solver before they become a schedule.
struct Nodes {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    /// Whether the sigmas follow from the timesteps.
    from_timesteps: bool,
}

/// The schedule of the DPM-Solver family: whole timesteps, one sigma per step and the final one.
pub(super) fn log_snr(setup: &Setup<'_>, rules: &LogSnrRules, training: &Training) -> Result<Schedule> {
    let config = setup.config;
    if config.flow.enabled || config.sigmas.respacing != Respacing::None {
        refuse_timesteps(setup.timesteps)?;
    }
    let table = training.sigmas();
    let Nodes { mut timesteps, mut sigmas, from_timesteps } = nodes(setup, rules, &table)?;
    timesteps.iter_mut().for_each(|t| *t = t.trunc());
    sigmas.push((rules.end)(&End {
        smallest: f64::from(table.first().copied().unwrap_or(0.0)),
        last: sigmas.last().copied().unwrap_or(0.0),
        from_timesteps,
        at_min: config.sigmas.end_at_min,
    }));
    Ok(Schedule { timesteps, sigmas: round_to_f32(sigmas) })
}

fn nodes(setup: &Setup<'_>, rules: &LogSnrRules, table: &[f32]) -> Result<Nodes> {
    let Setup { config, timesteps: options, steps, .. } = *setup;
    let base = options.sigmas.clone().unwrap_or_else(|| table.iter().map(|sigma| f64::from(*sigma)).collect());
    let (Some(&smallest), Some(&largest)) = (base.first(), base.last()) else {
        return Err(Error::invalid("sigmas", "expected at least one number"));
    };
    let train = config.train_timesteps as f64;
    if let Some(mut sigmas) = config.respaced(largest, smallest, steps) {
        if config.flow.enabled && rules.karras_on_flows && config.sigmas.respacing == Respacing::Karras {
            sigmas.iter_mut().for_each(|sigma| *sigma /= *sigma + 1.0);
            let timesteps = sigmas.iter().map(|sigma| sigma * train).collect();
            return Ok(Nodes { timesteps, sigmas, from_timesteps: false });
        }
        let log_sigmas = logarithms(&round_to_f32(base));
        let round = rounds_timesteps(config, rules);
        let timestep = |sigma: &f64| timestep_of(*sigma, &log_sigmas);
        let timesteps = sigmas.iter().map(timestep).map(|t| if round { t.round_ties_even() } else { t }).collect();
        return Ok(Nodes { timesteps, sigmas, from_timesteps: false });
    }
    if config.flow.enabled {
        let sigmas = (rules.flow_sigmas)(setup);
        let timesteps = sigmas.iter().map(|sigma| sigma * train).collect();
        return Ok(Nodes { timesteps, sigmas, from_timesteps: false });
    }
    let timesteps: Vec<f64> = match &options.timesteps {
        Some(timesteps) => timesteps.iter().map(|t| t.trunc()).collect(),
        None => timesteps_to_end(config, last_timestep(config, table), steps),
    };
    let sigmas = timesteps.iter().map(|t| interpolate(*t, table)).collect();
    Ok(Nodes { timesteps, sigmas, from_timesteps: true })
}

fn rounds_timesteps(config: &SchedulerConfig, rules: &LogSnrRules) -> bool {
    match config.sigmas.respacing {
        Respacing::Karras | Respacing::Lu => {
            !rules.cuts_cosine_timesteps || config.betas.schedule != BetaSchedule::SquaredCosine
        }
        _ => false,
    }
}

/// One past the highest timestep in use: levels with less signal than `lambda_min_clipped` are left out.
fn last_timestep(config: &SchedulerConfig, table: &[f32]) -> usize {
    let clipped = table.iter().filter(|sigma| -f64::from(sigma.ln()) < config.sigmas.lambda_min_clipped).count();
    table.len().saturating_sub(clipped).max(1)
}
