//! Families of models: everything that is specific to Stable Diffusion, SDXL, and their successors.
//!
//! This file is the seam. The pipeline and the command line only use the traits below, and `weights` knows no family. A
//! family is a folder here, its `mod` line, and its entry in [`FAMILIES`]:
//!
//! - [`Family`] is the kind of model: its components, how its files are recognised (the class in `model_index.json`, or
//!   the names of the tensors in a single file), and how a file in the original layout becomes the components and
//!   `config.json` documents of a diffusers folder. All later code handles only that layout.
//! - [`Model`] is one model of the family, described by its configurations before any weight is read: its defaults, limits
//!   and components, and how the components are built from [`Weights`].
//! - [`TextEncoder`] turns prompts into text states, [`Model::condition`] joins the states of all encoders into a
//!   [`Conditioning`], and [`Denoiser`] predicts from latents, timestep and conditioning. A prediction is a function of
//!   tensors, so that a GPU can record one step and replay it.
//! - [`Latents`] is the space between the denoiser and the autoencoder: its shape for a picture's size, how it is
//!   packed and scaled, and its approximate colours.
//!
//! The traits have no default methods, so that the compiler lists what a new family must define. Code that families
//! share is in `shared`, and each family chooses what it uses. The pipeline reads tensors back; only opening files is
//! asynchronous here.

mod assembly;
mod conditioning;
mod defaults;
mod flux;
mod model_files;
mod parts;
mod sd3;
mod sdxl;
mod shared;
mod stable_diffusion;
mod unsupported;

pub use conditioning::{Conditioning, Prompts, TextStates};
pub use defaults::{Defaults, SamplingDefaults};
pub use model_files::{ModelFiles, OpenOptions};
pub use parts::ComponentSource;
pub(crate) use parts::read_tokenizer;

use crate::models::vae::{Autoencoder, AutoencoderConfig};
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{Shareable, TensorIndex, TensorView, Weights};
use crate::{Device, Result, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

/// All families, in the order in which they are asked about a file: specific ones before general ones.
pub static FAMILIES: &[&dyn Family] = &[&flux::Flux, &sd3::Sd3, &sdxl::Sdxl, &stable_diffusion::StableDiffusion];

/// The name of the autoencoder among the components, which all families share.
pub const VAE: &str = "vae";

/// A kind of model.
pub trait Family: Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// The components that its models may have, by the names of their folders in the diffusers layout.
    fn components(&self) -> &'static [&'static str];

    /// The folders of its tokenizers.
    fn tokenizers(&self) -> &'static [&'static str];

    /// Its `general.architecture` in ComfyUI's GGUF files.
    fn architecture(&self) -> &'static str;

    /// Its T5 encoder and the tokenizer of that, if it has one.
    fn t5(&self) -> Option<[&'static str; 2]>;

    /// The hub repository of a tiny autoencoder for its latents.
    fn tiny_autoencoder(&self) -> Option<&'static str>;

    /// Whether a folder with this `model_index.json` holds one of its models.
    fn has_folder(&self, model_index: &Value) -> bool;

    /// Whether a single file with these tensors holds one of its models, or at least its denoiser.
    fn has_file(&self, index: &TensorIndex) -> bool;

    /// Splits such a file into components. Unknown tensors are an error that names them.
    fn read_file(&self, index: &TensorIndex) -> Result<Checkpoint>;

    /// Extracts one component from a file that contains it alone or among others.
    fn read_component(&self, component: &str, index: &TensorIndex) -> Result<Checkpoint>;

    /// The current name and shape of a component's tensor in the diffusers layout. Older versions of diffusers used
    /// others.
    fn current(&self, component: &str, name: &str, view: &TensorView) -> (String, TensorView);

    /// Reads the configurations of a model. `scheduler` is the scheduler that it was published with.
    fn model(&self, files: &ModelFiles, scheduler: &SchedulerConfig) -> Result<Box<dyn Model>>;
}

/// The contents of a single file as a diffusers folder of the same model would have them.
pub struct Checkpoint {
    /// The tensors of each component under their diffusers names.
    pub components: BTreeMap<&'static str, BTreeMap<String, TensorView>>,
    /// The configuration of each component, with `model_index` and `scheduler`.
    pub documents: Value,
}

/// One model, before its weights are read.
pub trait Model: Shareable {
    /// The defaults for requests that leave these values out.
    fn defaults(&self) -> &Defaults;

    /// Width and height are multiples of this many pixels.
    fn size_step(&self) -> usize;

    /// The text encoders among its components, in the order in which prompts are read.
    fn text_encoders(&self) -> &'static [&'static str];

    /// Builds a text encoder with the tokenizer that belongs to it.
    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>>;

    /// Joins the states of all text encoders, in host memory and in the order of [`text_encoders`](Self::text_encoders).
    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning>;

    /// The conditioning for calls that only use the prompt and skip these layers; `conditioning` is the whole one.
    /// [`Error::Invalid`](crate::Error::Invalid) if the denoiser cannot skip layers.
    fn without_layers(&self, conditioning: &Conditioning, layers: &[usize]) -> Result<Conditioning>;

    /// The denoiser among its components.
    fn denoiser(&self) -> &'static str;

    /// Builds the denoiser.
    fn build_denoiser(&self, weights: &Weights) -> Result<Box<dyn Denoiser>>;

    /// The scale of classifier-free guidance for this guidance scale and request. `None` if the denoiser only runs on
    /// the prompt: a model that was distilled with guidance takes the guidance scale as an input instead.
    fn guidance(&self, guidance_scale: f64, request: &Request) -> Result<Option<f64>>;

    /// Whether the denoiser takes a mask and the masked picture's latents as additional channels, so that it can only
    /// inpaint.
    fn needs_mask(&self) -> bool;

    /// The timesteps for a picture of `[height, width]` pixels. Flow models shift theirs by the size.
    fn timesteps(&self, size: [usize; 2], scheduler: &SchedulerConfig, steps: TimestepOptions) -> TimestepOptions;

    /// The configuration of the autoencoder.
    fn autoencoder(&self) -> &AutoencoderConfig;

    /// The space that the denoiser works in.
    fn latents(&self) -> &dyn Latents;
}

/// A text encoder and its tokenizer.
pub trait TextEncoder: Shareable {
    /// The states of a batch of prompts, with guidance preceded by those of the negative prompts. They depend only on
    /// the texts, on `guided` and on the request's `prompt_options`, which are the key under which the pipeline keeps
    /// them. Checks the cancel flag between two passes.
    fn encode(&self, prompts: &Prompts<'_>) -> Result<TextStates>;
}

/// A denoiser with its weights. Latents and predictions are `[n, h, w, c]`.
pub trait Denoiser: Shareable {
    /// The features of a timestep on a device. Besides them a step depends only on the latents.
    fn time(&self, timestep: f64, device: &Device) -> Result<Tensor>;

    /// The model's prediction: noise, velocity or sample. As long as the conditioning stays, it depends only on the
    /// first two tensors, so it is recorded once and replayed.
    fn predict(&self, latents: &Tensor, time: &Tensor, conditioning: &Conditioning) -> Result<Tensor>;
}

/// The space that a denoiser works in.
pub trait Latents: Shareable {
    /// `[h, w, c]` for a picture of `[height, width]` pixels.
    fn shape(&self, size: [usize; 2]) -> [usize; 3];

    /// Packs and scales the output of the autoencoder's encoder for the denoiser.
    fn pack(&self, encoded: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor>;

    /// The inverse: the input of the autoencoder's decoder.
    fn unpack(&self, latents: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor>;

    /// Their approximate colours.
    fn colours(&self) -> &'static Colours;
}

/// Red, green and blue per latent channel, and an offset: a least-squares fit of decoded pictures to their latents.
pub struct Colours {
    /// One entry for each channel.
    pub factors: &'static [[f32; 3]],
    /// The colour of latents that are all zero.
    pub bias: [f32; 3],
}

impl Colours {
    /// The colour of one latent, from 0 to 1.
    pub fn of(&self, latent: &[f32]) -> [f32; 3] {
        let mut colour = self.bias;
        for (value, factors) in latent.iter().zip(self.factors) {
            for (sum, factor) in colour.iter_mut().zip(factors) {
                *sum += value * factor;
            }
        }
        colour.map(|x| (x + 1.0) / 2.0)
    }
}
