//! The `config.json` of each network, from the names and shapes of its tensors. What shapes show is read from them, so that
//! a model of any size is understood; what they don't show (heads, groups of the norms) is what all models of the family
//! have, and a caller who knows better says so with [`OpenOptions::overrides`](crate::families::OpenOptions).

pub(in crate::families) mod clip_text;
pub(in crate::families) mod unet;
pub(in crate::families) mod vae;
