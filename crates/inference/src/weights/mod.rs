//! Where a model's bytes come from and how they become tensors.

mod handle;
mod random;

pub use handle::Weights;
