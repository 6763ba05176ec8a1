//! The networks, each layer written once for every device, file format and weight type.
//!
//! A network has a configuration (read from the `config.json` of diffusers or transformers), `new`, which takes its
//! tensors from [`Weights`](crate::weights::Weights) under their names in those libraries, and `forward`. Activations
//! are channels-last throughout.

pub mod attention;
pub mod clip;
mod clip_layer;
pub mod clip_text;
pub mod clip_vision;
pub mod embeddings;
pub mod flux;
pub mod layers;
pub mod mmdit;
pub mod resnet;
pub mod sam;
pub mod t5;
pub mod unet;
pub mod vae;
