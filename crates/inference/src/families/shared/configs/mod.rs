//! The `config.json` of each network, derived from the names and shapes of its tensors, for files that contain none.
//!
//! The result is a document rather than a Rust struct, so that the networks' constructors have one input for all file
//! layouts. Values that shapes reveal are read from them, so models of any size work. For the others (heads, groups of
//! the norms) the common value of the family is assumed, and callers can override it with
//! [`OpenOptions::overrides`](crate::families::OpenOptions).

pub(in crate::families) mod clip_text;
pub(in crate::families) mod t5;
pub(in crate::families) mod unet;
pub(in crate::families) mod vae;
