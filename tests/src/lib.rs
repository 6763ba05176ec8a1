//! Tests across crates: the golden cases (reference numbers from diffusers and transformers) and their comparison.

mod archive;
pub mod emoji;
pub mod files;
pub mod folders;
pub mod modules;
pub mod original;
pub mod original_flux;
pub mod original_sd3;
pub mod pipelines;
pub mod rng;
pub mod schedulers;
pub mod target;
pub mod tokenizer;
pub mod torch;
pub mod vision;

/// The comparison of one tensor of a golden case.
#[derive(Clone, Debug)]
pub struct Check {
    /// `folder/case`.
    pub case: String,
    /// The name of the tensor.
    pub tensor: String,
    /// The measured error, in the metric of `tolerance`.
    pub error: f64,
    /// The largest error that passes.
    pub tolerance: f64,
}

impl Check {
    /// Whether the error is within the tolerance. NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// `max|a - b| / max|reference|`, the metric of the golden folder; infinite if lengths differ or a value is not finite.
pub fn relative_error(got: &[f32], reference: &[f32]) -> f64 {
    if got.len() != reference.len() || got.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let largest = reference.iter().fold(0.0_f64, |max, x| max.max(f64::from(x.abs())));
    let error = got.iter().zip(reference).fold(0.0_f64, |max, (a, b)| max.max((f64::from(*a) - f64::from(*b)).abs()));
    if largest == 0.0 { error } else { error / largest }
}
