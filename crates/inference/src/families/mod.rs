//! Families of models: everything that is particular to Stable Diffusion, to SDXL, and to what comes after them.
//!
//! This file is the seam. The pipeline and the command line know a family by the traits below and by nothing else, and
//! `weights` knows none. A family is a folder here, its `mod` line, and its entry in [`FAMILIES`]:
//!
//! - [`Family`] is the kind of model: its components, how its files are recognised (the class in `model_index.json`, or the
//!   names of the tensors in a single file), and how a file in the layout of its authors becomes the components and
//!   `config.json` documents of a diffusers folder. Everything after that knows one layout.
//! - [`Model`] is one model of the family, described by its configurations before any weight is read: its defaults, limits
//!   and components, and how the components are built from [`Weights`].
//! - [`TextEncoder`] turns prompts into text states, [`Model::condition`] joins the states of all encoders into a
//!   [`Conditioning`], and [`Denoiser`] predicts from latents, timestep and conditioning. A prediction is a function of
//!   tensors, so that a GPU can record one step and replay it.
//! - [`Latents`] is the space between the denoiser and the autoencoder: its shape for a picture's size, how it is packed and
//!   scaled, and what it looks like.
//!
//! None of the traits has default methods, so that the compiler lists what a new family has to say. What families share is
//! in `shared` and is used by choice: a family asks for it, it is never applied to all. The pipeline reads bytes and tensors
//! back; nothing here is asynchronous but opening files.

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

use crate::models::vae::{Autoencoder, AutoencoderConfig};
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{Shareable, TensorIndex, TensorView, Weights};
use crate::{Device, Result, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every family, in the order in which files are offered to them: the particular before the general.
pub static FAMILIES: &[&dyn Family] = &[&flux::Flux, &sd3::Sd3, &sdxl::Sdxl, &stable_diffusion::StableDiffusion];

/// The name of the autoencoder among the components, which all families share.
pub const VAE: &str = "vae";

/// A kind of model.
pub trait Family: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// The components that its models may have, by the names of their folders in the diffusers layout.
    fn components(&self) -> &'static [&'static str];

    /// The folders of its tokenizers.
    fn tokenizers(&self) -> &'static [&'static str];

    /// The hub repository of a tiny autoencoder for its latents.
    fn tiny_autoencoder(&self) -> Option<&'static str>;

    /// Whether a folder with this `model_index.json` holds one of its models.
    fn has_folder(&self, model_index: &Value) -> bool;

    /// Whether a single file with these tensors holds one of its models, or at least its denoiser.
    fn has_file(&self, index: &TensorIndex) -> bool;

    /// Takes such a file apart. Tensors that no component has a place for are an error that names them.
    fn read_file(&self, index: &TensorIndex) -> Result<Checkpoint>;

    /// Takes this component alone out of a file that holds nothing else, or that holds it among others.
    fn read_component(&self, component: &str, index: &TensorIndex) -> Result<Checkpoint>;

    /// A tensor of a component in the diffusers layout under the name and shape that the network asks for: older versions
    /// of diffusers had others.
    fn current(&self, component: &str, name: &str, view: &TensorView) -> (String, TensorView);

    /// Reads the configurations of a model; `scheduler` is the one that it was published with.
    fn model(&self, files: &ModelFiles, scheduler: &SchedulerConfig) -> Result<Box<dyn Model>>;
}

/// A single file taken apart: what a diffusers folder of the same model would hold.
pub struct Checkpoint {
    /// The tensors of each component under their diffusers names.
    pub components: BTreeMap<&'static str, BTreeMap<String, TensorView>>,
    /// The configuration of each component, with `model_index` and `scheduler`.
    pub documents: Value,
}

/// One model, before its weights are read.
pub trait Model: Shareable {
    /// What is drawn when nothing else is asked for.
    fn defaults(&self) -> &Defaults;

    /// Width and height are multiples of this many pixels.
    fn size_step(&self) -> usize;

    /// The text encoders among its components, in the order in which prompts are read.
    fn text_encoders(&self) -> &'static [&'static str];

    /// Builds a text encoder with the tokenizer that belongs to it.
    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>>;

    /// Joins the states of all text encoders, in host memory and in the order of [`text_encoders`](Self::text_encoders).
    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning>;

    /// The conditioning for calls with the prompt alone, the second half of `conditioning`, in which the denoiser leaves these
    /// layers out. [`Error::Invalid`](crate::Error::Invalid) if it has none that can be left out.
    fn without_layers(&self, conditioning: &Conditioning, layers: &[usize]) -> Result<Conditioning>;

    /// The denoiser among its components.
    fn denoiser(&self) -> &'static str;

    /// Builds the denoiser.
    fn build_denoiser(&self, weights: &Weights) -> Result<Box<dyn Denoiser>>;

    /// The scale by which the predictions for prompt and negative prompt are combined, for this guidance scale and what else
    /// the request says of it. `None` if the denoiser runs on the prompt alone: a model that was distilled with guidance takes
    /// the guidance scale as an input instead.
    fn guidance(&self, guidance_scale: f64, request: &Request) -> Result<Option<f64>>;

    /// Whether the denoiser takes a mask and the masked picture's latents as further channels, and so can only redraw.
    fn needs_mask(&self) -> bool;

    /// The timesteps for a picture of `[height, width]` pixels: models of flows shift theirs by it.
    fn timesteps(&self, size: [usize; 2], scheduler: &SchedulerConfig, steps: TimestepOptions) -> TimestepOptions;

    /// The configuration of the autoencoder.
    fn autoencoder(&self) -> &AutoencoderConfig;

    /// The space that the denoiser works in.
    fn latents(&self) -> &dyn Latents;
}

/// A text encoder and its tokenizer.
pub trait TextEncoder: Shareable {
    /// The states of a batch of prompts, with guidance those of the negative prompts before them. They depend on the texts,
    /// on `guided` and on the request's `prompt_options` alone: the pipeline keeps them by these. Looks at the cancel flag
    /// between two passes.
    fn encode(&self, prompts: &Prompts<'_>) -> Result<TextStates>;
}

/// A denoiser with its weights. Latents and predictions are `[n, h, w, c]`.
pub trait Denoiser: Shareable {
    /// The features of a timestep on a device: all that a step depends on besides the latents.
    fn time(&self, timestep: f64, device: &Device) -> Result<Tensor>;

    /// What the model predicts (noise, velocity or sample, as it was trained). A function of the first two tensors alone
    /// while the conditioning stays: it is recorded once and replayed.
    fn predict(&self, latents: &Tensor, time: &Tensor, conditioning: &Conditioning) -> Result<Tensor>;
}

/// The space that a denoiser works in.
pub trait Latents: Shareable {
    /// `[h, w, c]` for a picture of `[height, width]` pixels.
    fn shape(&self, size: [usize; 2]) -> [usize; 3];

    /// What the autoencoder's encoder made of pictures, packed and scaled for the denoiser.
    fn pack(&self, encoded: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor>;

    /// The inverse: what the autoencoder's decoder takes.
    fn unpack(&self, latents: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor>;

    /// What they look like.
    fn colours(&self) -> &'static Colours;
}

/// Red, green and blue per latent channel, and what is added: a least-squares fit of decoded pictures to their latents.
pub struct Colours {
    /// One entry for each channel.
    pub factors: &'static [[f32; 3]],
    /// The colour of latents that are all zero.
    pub bias: [f32; 3],
}

impl Colours {
    /// The colour of one latent, 0 to 1.
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
