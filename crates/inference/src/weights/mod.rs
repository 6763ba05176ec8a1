//! Where a model's bytes come from and how they become tensors.

mod handle;

pub use handle::Weights;
