//! Prediction types: what a model's output means, and how the predicted image follows from it.

use crate::{Result, Tensor};

/// What the model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The clean image.
    Sample,
    /// The velocity `alpha * noise - sigma * image` (Salimans & Ho, <https://arxiv.org/abs/2202.00512>).
    V,
    /// The flow `noise - image` (Lipman et al., <https://arxiv.org/abs/2210.02747>).
    Flow,
}

/// The mixture in a sample: `alpha` times the image plus `sigma` times the noise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
}

/// `scale * sample + sum(factor * tensor)`.
pub(super) fn mix(sample: &Tensor, scale: f32, terms: &[(f32, &Tensor)]) -> Result<Tensor> {
    let terms: Vec<_> = terms.iter().map(|(factor, tensor)| (f64::from(*factor), *tensor)).collect();
    sample.combine(f64::from(scale), &terms)
}

impl PredictionType {
    /// The predicted image in `sample`, which has this level.
    pub(super) fn image(self, output: &Tensor, sample: &Tensor, level: Level) -> Result<Tensor> {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => mix(sample, 1.0 / alpha, &[(-sigma / alpha, output)]),
            Self::Sample => Ok(output.clone()),
            Self::V => mix(sample, alpha, &[(-sigma, output)]),
            Self::Flow => mix(sample, 1.0, &[(-sigma, output)]),
        }
    }

    /// The predicted noise in `sample`, which has this level.
    pub(super) fn noise(self, output: &Tensor, sample: &Tensor, level: Level) -> Result<Tensor> {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => Ok(output.clone()),
            Self::Sample => mix(sample, 1.0 / sigma, &[(-alpha / sigma, output)]),
            Self::V => mix(sample, sigma, &[(alpha, output)]),
            Self::Flow => mix(sample, 1.0, &[(alpha, output)]),
        }
    }

    /// Like [`PredictionType::image`], for an unscaled sample `image + sigma * noise`.
    pub(super) fn image_exploding(self, output: &Tensor, sample: &Tensor, sigma: f32) -> Result<Tensor> {
        match self {
            Self::V => {
                let norm = sigma * sigma + 1.0;
                mix(sample, 1.0 / norm, &[(-sigma / norm.sqrt(), output)])
            }
            _ => self.image(output, sample, Level { alpha: 1.0, sigma }),
        }
    }
}

/// How a predicted image is clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Clipping {
    None,
    /// To `-range..=range`.
    Range(f64),
    /// To a quantile of each picture's magnitudes (at least 1, at most `max`), which then becomes 1. Saharia et al.,
    /// <https://arxiv.org/abs/2205.11487>.
    Threshold {
        ratio: f64,
        max: f64,
    },
}

impl Clipping {
    pub(super) fn apply(self, image: Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(image),
            Self::Range(range) => image.clamp(-range, range),
            Self::Threshold { ratio, max } => image.dynamic_threshold(ratio, max),
        }
    }
}
