//! The sampling schedule of a run: timesteps and sigmas, put together for each family of solvers.

use super::betas::Training;
use super::config::{BetaSchedule, Respacing, SchedulerConfig};
use super::sigmas::{logarithms, timestep_of};
use super::spacing::{interpolate, linspace, timesteps, timesteps_to_end};
use super::{PredictionType, SchedulerClass, TimestepOptions, flow};
use crate::{Error, Result};

/// Where a run passes, from noise to image.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    /// The training timestep that the model is told, one per call.
    pub(super) timesteps: Vec<f64>,
    /// The noise level at every node, ending where the last step leads. Empty for solvers that look it up by timestep.
    pub(super) sigmas: Vec<f32>,
}

impl Schedule {
    /// Refuses what no arithmetic can walk: a configuration can ask for the logarithm of zero.
    pub(super) fn check(&self) -> Result<()> {
        let finite = self.timesteps.iter().all(|t| t.is_finite()) && self.sigmas.iter().all(|s| s.is_finite());
        if finite { Ok(()) } else { Err(Error::NotFinite { what: "the sampling schedule".into(), hint: "" }) }
    }
}

fn round_to_f32(sigmas: impl IntoIterator<Item = f64>) -> Vec<f32> {
    sigmas.into_iter().map(|sigma| sigma as f32).collect()
}

/// The schedule of the k-diffusion solvers (Euler, Heun, LMS, DPM2), one sigma per step and the final one.
pub(super) fn exploding(config: &SchedulerConfig, options: &TimestepOptions, training: &Training) -> Result<Schedule> {
    let steps = options.count(config)?;
    let table = training.sigmas();
    let log_sigmas = logarithms(&table);
    if let Some(sigmas) = &options.sigmas {
        let timesteps = sigmas.iter().take(steps).map(|sigma| timestep_of(f64::from(*sigma as f32), &log_sigmas));
        let timesteps = timesteps.collect();
        return Ok(continuous(config, Schedule { timesteps, sigmas: round_to_f32(sigmas.iter().copied()) }));
    }
    check_custom_timesteps(config, options)?;
    let mut visited = options.timesteps.clone().unwrap_or_else(|| timesteps(config, steps, false));
    let mut sigmas: Vec<f64> = visited.iter().map(|t| interpolate(*t, &table)).collect();
    if let (true, [first, .., last]) = (config.sigmas.log_linear, &table[..]) {
        // One sigma more than steps, and the final one still follows: so it is in the original.
        let logs = linspace(f64::from(last.ln()), f64::from(first.ln()), steps + 1);
        sigmas = logs.into_iter().map(f64::exp).collect();
    }
    let [first, last] = [sigmas.first(), sigmas.last()].map(|sigma| sigma.copied().unwrap_or(f64::NAN));
    if let Some(respaced) = respaced_for(config, first, last, steps) {
        visited = respaced.iter().map(|sigma| timestep_of(*sigma, &log_sigmas)).collect();
        sigmas = respaced;
        let dpm2 = matches!(config.class(), SchedulerClass::Dpm2 | SchedulerClass::Dpm2Ancestral);
        if dpm2 && config.sigmas.respacing == Respacing::Karras {
            visited.iter_mut().for_each(|t| *t = t.round_ties_even());
        }
    }
    let end = if config.sigmas.end_at_min { table.first().copied().unwrap_or(0.0) } else { 0.0 };
    sigmas.push(f64::from(end));
    Ok(continuous(config, Schedule { timesteps: visited, sigmas: round_to_f32(sigmas) }))
}

/// LMS takes the ends of its Karras sigmas from the schedule even where the configuration sets others.
fn respaced_for(config: &SchedulerConfig, first: f64, last: f64, steps: usize) -> Option<Vec<f64>> {
    if config.class() == SchedulerClass::Lms && config.sigmas.respacing == Respacing::Karras {
        return Some(super::sigmas::karras(first, last, steps));
    }
    config.respaced(first, last, steps)
}

/// Models trained on continuous noise levels are told the level and not a timestep.
fn continuous(config: &SchedulerConfig, mut schedule: Schedule) -> Schedule {
    if config.sigmas.continuous_timesteps && config.prediction == PredictionType::V {
        let steps = schedule.timesteps.len();
        schedule.timesteps = schedule.sigmas.iter().take(steps).map(|sigma| f64::from(0.25 * sigma.ln())).collect();
    }
    schedule
}

fn check_custom_timesteps(config: &SchedulerConfig, options: &TimestepOptions) -> Result<()> {
    let own = config.sigmas.respacing != Respacing::None
        || (config.sigmas.continuous_timesteps && config.prediction == PredictionType::V)
        || (config.flow.enabled && config.class().is_log_snr());
    match options.timesteps {
        Some(_) if own => Err(Error::invalid("timesteps", "this scheduler's sigmas determine its timesteps")),
        _ => Ok(()),
    }
}

/// The schedule of the DPM-Solver family: whole timesteps, one sigma per step and the final one.
pub(super) fn log_snr(config: &SchedulerConfig, options: &TimestepOptions, training: &Training) -> Result<Schedule> {
    let steps = options.count(config)?;
    check_custom_timesteps(config, options)?;
    let table = training.sigmas();
    let smallest = f64::from(table.first().copied().unwrap_or(0.0));
    let (mut visited, mut sigmas, follows) = log_snr_nodes(config, options, &table, steps)?;
    visited.iter_mut().for_each(|t| *t = t.trunc());
    let last = sigmas.last().copied().unwrap_or(0.0);
    sigmas.push(match config.class() {
        SchedulerClass::Deis => {
            if follows {
                smallest
            } else {
                last
            }
        }
        SchedulerClass::UniPc if config.sigmas.end_at_min && !follows => last,
        _ => {
            if config.sigmas.end_at_min {
                smallest
            } else {
                0.0
            }
        }
    });
    Ok(Schedule { timesteps: visited, sigmas: round_to_f32(sigmas) })
}

/// Timesteps, sigmas, and whether the sigmas follow from the timesteps.
fn log_snr_nodes(
    config: &SchedulerConfig,
    options: &TimestepOptions,
    table: &[f32],
    steps: usize,
) -> Result<(Vec<f64>, Vec<f64>, bool)> {
    let given = options.sigmas.clone();
    let base = given.clone().unwrap_or_else(|| table.iter().map(|sigma| f64::from(*sigma)).collect());
    let (Some(smallest), Some(largest)) = (base.first().copied(), base.last().copied()) else {
        return Err(Error::invalid("sigmas", "expected at least one number"));
    };
    let uni_pc = config.class() == SchedulerClass::UniPc;
    if let Some(mut sigmas) = config.respaced(largest, smallest, steps) {
        if uni_pc && config.flow.enabled && config.sigmas.respacing == Respacing::Karras {
            sigmas.iter_mut().for_each(|sigma| *sigma /= *sigma + 1.0);
            let visited = sigmas.iter().map(|sigma| sigma * config.train_timesteps as f64).collect();
            return Ok((visited, sigmas, false));
        }
        let log_sigmas = logarithms(&round_to_f32(base));
        let round = rounds_timesteps(config);
        let timestep = |sigma: &f64| timestep_of(*sigma, &log_sigmas);
        let visited = sigmas.iter().map(timestep).map(|t| if round { t.round_ties_even() } else { t }).collect();
        return Ok((visited, sigmas, false));
    }
    if config.flow.enabled {
        let sigmas = if uni_pc { flow::uni_pc(config, options, steps) } else { flow::log_snr(config, options, steps) };
        let visited = sigmas.iter().map(|sigma| sigma * config.train_timesteps as f64).collect();
        return Ok((visited, sigmas, false));
    }
    let visited = match &options.timesteps {
        Some(timesteps) => timesteps.iter().map(|t| t.trunc()).collect(),
        None => timesteps_to_end(config, last_timestep(config, table), steps),
    };
    let sigmas = visited.iter().map(|t| interpolate(*t, table)).collect();
    Ok((visited, sigmas, true))
}

fn rounds_timesteps(config: &SchedulerConfig) -> bool {
    match config.sigmas.respacing {
        Respacing::Karras | Respacing::Lu => {
            config.class() != SchedulerClass::DpmMultistep || config.betas.schedule != BetaSchedule::SquaredCosine
        }
        _ => false,
    }
}

/// One past the highest timestep in use: levels with less signal than `lambda_min_clipped` are left out.
fn last_timestep(config: &SchedulerConfig, table: &[f32]) -> usize {
    let clipped = table.iter().filter(|sigma| -f64::from(sigma.ln()) < config.sigmas.lambda_min_clipped).count();
    table.len().saturating_sub(clipped).max(1)
}
