//! Where a model's bytes come from and how they become tensors.

mod handle;
mod random;
mod tmp_files;

pub use handle::Weights;
pub use tmp_files::{Component, ModelFiles};
