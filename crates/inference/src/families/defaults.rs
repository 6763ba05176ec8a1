//! What a model draws when nothing else is asked for.

/// What a model draws when nothing else is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance_scale: f64,
}

/// The part of the defaults that training, not the architecture, decides: distilled models take few steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingDefaults {
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance_scale: f64,
}

impl Defaults {
    /// The same size with other steps and guidance.
    pub fn with_sampling(self, sampling: SamplingDefaults) -> Self {
        let SamplingDefaults { steps, guidance_scale } = sampling;
        Self { steps, guidance_scale, ..self }
    }
}
