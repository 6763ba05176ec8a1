//! PNDM: linear multistep (PLMS), after a Runge-Kutta start (PRK) unless that is skipped. Liu et al.,
//! <https://arxiv.org/abs/2202.09778>.

use super::super::SchedulerConfig;
use super::super::config::Spacing;
use super::super::definition::{BetaFields, Definition, Flows, Name, Reads, Setup, Takes};
use super::super::prediction::{PredictionType, mix};
use super::super::spacing::timesteps;
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Error, Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "PNDMScheduler",
    names: &[Name::new("pndm", "PLMS"), Name::new("plms", "PLMS")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(BetaFields::PIXELS),
        spacing: Some(Spacing::Leading),
        set_alpha_to_one: Some(false),
        ..Reads::NOTHING
    },
    takes: Takes::STEPS,
    check: |config| skips_runge_kutta(config).map(drop),
    build: |setup| Ok(Box::new(Pndm::new(setup)?)),
};

fn skips_runge_kutta(config: &SchedulerConfig) -> Result<bool> {
    config.fields().flag("skip_prk_steps", false)
}

/// The steps of the Runge-Kutta start.
const PRK_STEPS: usize = 4;

struct Pndm {
    discrete: Discrete,
    /// Training timesteps per step.
    stride: i64,
    /// The calls of the Runge-Kutta start.
    prk_calls: usize,
    /// The number of calls so far, also in runs that start late.
    calls: usize,
    outputs: Vec<Tensor>,
    /// The weighted sum of the outputs of one Runge-Kutta step.
    sum: Option<Tensor>,
    /// The sample at the start of a step of several calls.
    start: Option<Tensor>,
}

impl Pndm {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let Setup { config, steps, .. } = *setup;
        let stride = config.train_timesteps / steps;
        let spaced = timesteps(config, steps, true);
        let (visited, prk_calls) = if skips_runge_kutta(config)? {
            // The second timestep is visited twice: the first call is Euler's step, the second corrects it.
            let repeated = spaced.get(1).copied();
            let mut visited = spaced;
            if let Some(repeated) = repeated {
                visited.insert(1, repeated);
            }
            (visited, 0)
        } else {
            with_runge_kutta(&spaced, (stride / 2) as f64)?
        };
        Ok(Self {
            discrete: Discrete::new(config, visited)?,
            stride: stride as i64,
            prk_calls,
            calls: 0,
            outputs: Vec::new(),
            sum: None,
            start: None,
        })
    }

    /// Equation 9 of the paper: from `timestep` to `next` along a noise prediction.
    fn transfer(&self, sample: &Tensor, output: &Tensor, timestep: i64, next: i64) -> Result<Tensor> {
        let [now, then] = [timestep, next].map(|t| self.discrete.alpha_cumprod(t));
        let epsilon = match self.discrete.prediction {
            PredictionType::V => mix(output, now.sqrt(), &[((1.0 - now).sqrt(), sample)])?,
            _ => output.clone(),
        };
        let denominator = now * (1.0 - then).sqrt() + (now * (1.0 - now) * then).sqrt();
        mix(sample, (then / now).sqrt(), &[(-(then - now) / denominator, &epsilon)])
    }

    /// One of the four calls of a Runge-Kutta step.
    fn runge_kutta(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let stage = self.calls % 4;
        let half = if self.calls % 2 == 1 { 0 } else { self.stride / 2 };
        let next = self.discrete.timestep(index) - half;
        let timestep = self.discrete.timestep(self.calls - stage);
        let weight = if matches!(stage, 1 | 2) { 1.0 / 3.0 } else { 1.0 / 6.0 };
        let sum = match &self.sum {
            Some(sum) => mix(sum, 1.0, &[(weight, output)])?,
            None => mix(output, weight, &[])?,
        };
        if stage == 0 {
            self.outputs.push(output.clone());
            self.start = Some(sample.clone());
        }
        let start = self.start.clone().unwrap_or_else(|| sample.clone());
        if stage == 3 {
            self.sum = None;
            return self.transfer(&start, &sum, timestep, next);
        }
        self.sum = Some(sum);
        self.transfer(&start, output, timestep, next)
    }

    fn multistep(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let timestep = self.discrete.timestep(index);
        if self.calls == 1 {
            // Corrects the first step: repeated from its start, with the mean of both outputs.
            let first = self.outputs.last().unwrap_or(output);
            let mean = mix(output, 0.5, &[(0.5, first)])?;
            let start = self.start.take().unwrap_or_else(|| sample.clone());
            return self.transfer(&start, &mean, timestep + self.stride, timestep);
        }
        if self.calls == 0 {
            self.start = Some(sample.clone());
        }
        if self.outputs.len() == PRK_STEPS {
            self.outputs.remove(0);
        }
        self.outputs.push(output.clone());
        // Adams-Bashforth, the newest output last.
        let slope = match &self.outputs[..] {
            [e3, e2, e1, e0] => mix(e0, 55.0 / 24.0, &[(-59.0 / 24.0, e1), (37.0 / 24.0, e2), (-9.0 / 24.0, e3)])?,
            [e2, e1, e0] => mix(e0, 23.0 / 12.0, &[(-16.0 / 12.0, e1), (5.0 / 12.0, e2)])?,
            [e1, e0] => mix(e0, 1.5, &[(-0.5, e1)])?,
            _ => output.clone(),
        };
        self.transfer(sample, &slope, timestep, timestep - self.stride)
    }
}

/// The four noisiest steps take four calls each (minus one at each end), the others one.
fn with_runge_kutta(spaced: &[f64], half: f64) -> Result<(Vec<f64>, usize)> {
    if spaced.len() < PRK_STEPS {
        let reason = format!("must be at least {PRK_STEPS} for a Runge-Kutta start, got {}", spaced.len());
        return Err(Error::invalid("steps", reason));
    }
    let noisiest = &spaced[..PRK_STEPS];
    let points = noisiest.iter().flat_map(|t| [*t + half, *t]).skip(1);
    let doubled: Vec<f64> = points.flat_map(|t| [t, t]).collect();
    let mut visited = doubled[1..doubled.len() - 1].to_vec();
    let prk_calls = visited.len();
    visited.extend(&spaced[PRK_STEPS - 1..]);
    Ok((visited, prk_calls))
}

impl Solver for Pndm {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, call: Call<'_>) -> Result<Tensor> {
        let next = if self.calls < self.prk_calls { self.runge_kutta(call) } else { self.multistep(call) }?;
        self.calls += 1;
        Ok(next)
    }
}
