//! The `config.json` of each network, made from the names and shapes of its tensors, for files that bring none.
//!
//! The result is a document rather than a Rust struct, so that the networks' constructors have one input for every layout of
//! files. What shapes show is read from them, so that a model of any size is understood. What they don't show (heads, groups
//! of the norms) is what all models of the family have, and a caller who knows better says so with
//! [`OpenOptions::overrides`](crate::families::OpenOptions).

pub(in crate::families) mod clip_text;
pub(in crate::families) mod t5;
pub(in crate::families) mod unet;
pub(in crate::families) mod vae;
