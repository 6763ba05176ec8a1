//! The networks, each layer written once for every device, file format and weight type.
//!
//! A network is a configuration (read from the `config.json` that diffusers or transformers writes), `new`, which takes its
//! tensors from [`Weights`](crate::weights::Weights) by the names they have in those libraries, and `forward`. Activations
//! are channels-last throughout.

pub mod attention;
pub mod clip_text;
pub mod embeddings;
pub mod flux;
pub mod layers;
pub mod mmdit;
pub mod resnet;
pub mod t5;
pub mod unet;
pub mod vae;
