//! Euler's method, with optional churn. Karras et al., <https://arxiv.org/abs/2206.00364>, algorithm 2.

use super::super::config::Spacing;
use super::super::definition::{
    BetaFields, Definition, Flows, Name, Prediction, RESPACINGS, Reads, Setup, Takes, TakesSigmas, ZeroSnr,
};
use super::super::prediction::{PredictionType, mix};
use super::super::schedule::ExplodingRules;
use super::super::{SchedulerClass, SchedulerConfig, StepOptions};
use super::exploding::{Exploding, advance, derivative};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "EulerDiscreteScheduler",
    names: &[Name::new("euler", "Euler")],
    calls_per_step: 1,
    flows: Flows::As(SchedulerClass::FlowMatchEuler),
    reads: Reads {
        betas: Some(BetaFields::PIXELS.with_zero_snr(ZeroSnr::Divisible)),
        prediction: Prediction::Named(&[
            ("epsilon", PredictionType::Epsilon),
            ("v_prediction", PredictionType::V),
            ("sample", PredictionType::Sample),
            ("original_sample", PredictionType::Sample),
        ]),
        spacing: Some(Spacing::Linspace),
        respacings: RESPACINGS,
        final_sigmas: true,
        ..Reads::NOTHING
    },
    takes: Takes { sigmas: TakesSigmas::WithFinal, ..Takes::TIMESTEPS },
    check: |config| rules(config).map(drop),
    build: |setup| Ok(Box::new(Euler::new(setup)?)),
};

/// The rules from the fields `interpolation_type` and `timestep_type`.
fn rules(config: &SchedulerConfig) -> Result<ExplodingRules> {
    let fields = config.fields();
    Ok(ExplodingRules {
        log_linear: fields.word("interpolation_type", false, &[("linear", false), ("log_linear", true)])?,
        continuous_timesteps: fields.word("timestep_type", false, &[("discrete", false), ("continuous", true)])?,
        ..ExplodingRules::default()
    })
}

struct Euler {
    exploding: Exploding,
    options: StepOptions,
    velocity: bool,
}

impl Euler {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self {
            exploding: Exploding::new(setup, &rules(setup.config)?)?,
            options: setup.step.clone(),
            velocity: setup.config.prediction == PredictionType::V,
        })
    }

    /// The relative growth of sigma before the step.
    fn churn(&self, sigma: f32) -> f64 {
        const MOST: f64 = std::f64::consts::SQRT_2 - 1.0;
        let nodes = self.exploding.schedule.sigmas.len().saturating_sub(1).max(1) as f64;
        let within = (self.options.s_tmin..=self.options.s_tmax).contains(&f64::from(sigma));
        if within { (self.options.s_churn / nodes).min(MOST) } else { 0.0 }
    }
}

impl Solver for Euler {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.exploding.sigma(index));
        let churn = self.churn(sigma);
        let churned = sigma * (churn + 1.0) as f32;
        let mut sample = sample.clone();
        if churn > 0.0 {
            let deviation = self.options.s_noise as f32 * (churned * churned - sigma * sigma).sqrt();
            sample = mix(&sample, 1.0, &[(deviation, &noise.draw_like(&sample)?)])?;
        }
        // diffusers interprets a velocity at the sigma before the churn.
        let image = self.exploding.image_at(if self.velocity { sigma } else { churned }, output, &sample)?;
        advance(&sample, &derivative(&sample, &image, churned)?, next - churned)
    }
}
