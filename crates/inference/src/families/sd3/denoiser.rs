//! An MMDiT as the denoiser of Stable Diffusion 3, and its conditioning.

use crate::families::{Conditioning, Denoiser, Prompts, TextStates};
use crate::models::mmdit::{Mmdit, MmditConditioning, MmditConfig};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};

/// The states of the text: `[n, t, d]`.
const TEXT: &str = "text";
/// The pooled embedding of the text: `[n, p]`.
const POOLED: &str = "pooled";
/// Layers to skip.
const SKIPPED: &str = "skipped_layers";

/// The default number of T5 tokens.
pub(super) const T5_LENGTH: usize = 256;

/// Joins the states of the text encoders: first both of CLIP's side by side, padded with zeros to T5's width, then
/// T5's. Without T5 zeros take the place of its states.
pub(super) fn condition(
    config: &MmditConfig,
    clip: [&TextStates; 2],
    t5: Option<&TextStates>,
    prompts: &Prompts<'_>,
) -> Result<Conditioning> {
    let pair = Tensor::concat(&clip.map(|states| &states.hidden), 2)?;
    let [n, tokens, width] = pair.dims("condition")?;
    let wide = config.joint_attention_dim;
    if width > wide {
        let expected = format!("text states of at most {wide} channels, the denoiser's width");
        return Err(Error::Shape { op: "condition", expected, got: pair.shape().to_vec() });
    }
    let device = pair.device();
    let padding = Tensor::zeros(&[n, tokens, wide - width], &device)?;
    let clip_states = if width == wide { pair } else { Tensor::concat(&[&pair, &padding], 2)? };
    let rows = prompts.request.prompt_options.max_sequence_length.unwrap_or(T5_LENGTH);
    let t5_states = match t5 {
        Some(states) => states.hidden.clone(),
        None => Tensor::zeros(&[n, rows, wide], &device)?,
    };
    let text = Tensor::concat(&[&clip_states, &t5_states], 1)?;
    let pooled = clip.map(|states| states.pooled.as_ref());
    let [Some(first), Some(second)] = pooled else {
        return Err(Error::invalid("prompt", "a text encoder of this model has no pooled embedding"));
    };
    Ok(Conditioning::default().with(TEXT, text).with(POOLED, Tensor::concat(&[first, second], 1)?))
}

/// The conditioning for calls that only use the prompts and skip these layers.
pub(super) fn without_layers(
    config: &MmditConfig,
    conditioning: &Conditioning,
    layers: &[usize],
) -> Result<Conditioning> {
    let count = config.num_layers;
    if let Some(layer) = layers.iter().find(|layer| **layer >= count) {
        let reason = format!("must be below {count}, the number of layers, got {layer}");
        return Err(Error::invalid("skip_guidance_layers", reason));
    }
    let layers = layers.iter().map(|layer| *layer as f64).collect();
    Ok(conditioning.second_half()?.with_numbers(SKIPPED, layers))
}

/// An MMDiT with its weights.
pub(super) struct MmditDenoiser(Mmdit);

impl MmditDenoiser {
    /// Builds the network.
    pub(super) fn new(weights: &Weights, config: MmditConfig) -> Result<Self> {
        Ok(Self(Mmdit::new(weights, config)?))
    }
}

impl Denoiser for MmditDenoiser {
    fn time(&self, timestep: f64, device: &Device) -> Result<Tensor> {
        Mmdit::timestep_features(timestep, device)
    }

    fn predict(&self, latents: &Tensor, time: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        let skipped = conditioning.numbers(SKIPPED).unwrap_or_default();
        let skipped_layers: Vec<usize> = skipped.iter().map(|layer| *layer as usize).collect();
        let text = conditioning.tensor(TEXT)?;
        let pooled = conditioning.tensor(POOLED)?;
        self.0.forward(latents, time, MmditConditioning { text, pooled, skipped_layers: &skipped_layers })
    }
}
