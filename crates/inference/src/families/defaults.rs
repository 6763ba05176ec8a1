//! A model's defaults.

/// A model's defaults for requests that leave these values out.
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

/// The defaults that depend on training rather than on the architecture: distilled models take few steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingDefaults {
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance_scale: f64,
}

impl Defaults {
    /// Replaces steps and guidance scale.
    pub fn with_sampling(self, sampling: SamplingDefaults) -> Self {
        let SamplingDefaults { steps, guidance_scale } = sampling;
        Self { steps, guidance_scale, ..self }
    }
}
