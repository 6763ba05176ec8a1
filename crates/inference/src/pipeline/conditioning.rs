//! Prompts to what the denoiser is conditioned on: text states, and for SDXL pooled embeddings and sizes.

use super::request::{Prompt, PromptOptions, SizeConditioning};
use super::run::Run;
use crate::models::clip_text::{ClipText, ClipTextOutput};
use crate::models::unet::{AddedConditioning, UNetConditioning};
use crate::text::{PromptWindows, Reading, Tokenizer, apply_weights, equalize_windows, read_prompt};
use crate::{Device, Error, Result, Tensor};

/// A text encoder and the tokenizer that belongs to it.
pub(super) struct TextEncoder {
    pub(super) tokenizer: Tokenizer,
    pub(super) model: ClipText,
}

/// The text encoders of a family.
pub(super) enum TextEncoders {
    /// Stable Diffusion 1 and 2: the last hidden state of one encoder.
    One(Box<TextEncoder>),
    /// SDXL: the last but one hidden states of two encoders side by side, and the second one's pooled embedding.
    Two {
        first: Box<TextEncoder>,
        second: Box<TextEncoder>,
        /// A negative prompt that is not given becomes zeros instead of the empty text.
        zeros_for_missing_negative: bool,
    },
}

/// Everything besides latents and timestep that the denoiser takes, in host memory until it is asked for on a device.
/// With guidance, the negative half comes first.
pub(super) struct Conditioning {
    pub(super) hidden_states: Tensor,
    pub(super) unet: UNetConditioning,
}

impl Conditioning {
    /// The same in the type that models compute in, on their device.
    pub(super) fn to_device(&self, device: &Device) -> Result<Self> {
        let there = |tensor: &Tensor| tensor.cast(device.float())?.to_device(device);
        let mut unet = self.unet.clone();
        if let Some(added) = &mut unet.added {
            added.text_embeds = there(&added.text_embeds)?;
        }
        Ok(Self { hidden_states: there(&self.hidden_states)?, unet })
    }
}

/// The text states of some prompts `[n, t, d]`, and their pooled embedding `[n, p]`.
struct TextStates {
    hidden: Tensor,
    pooled: Option<Tensor>,
}

impl TextEncoders {
    /// Encodes a batch of prompts, and with guidance their negative prompts before them.
    pub(super) fn encode(
        &self,
        prompts: &[Prompt],
        guided: bool,
        options: PromptOptions,
        run: &mut Run<'_>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let texts = |second: bool| -> Vec<&str> {
            let positive = prompts.iter().map(|p| if second { p.text_2.as_ref().unwrap_or(&p.text) } else { &p.text });
            let negative = prompts.iter().map(|p| {
                let own = if second { p.negative_2.as_ref().or(p.negative.as_ref()) } else { p.negative.as_ref() };
                own.map_or("", String::as_str)
            });
            let positive = positive.map(String::as_str);
            if guided { negative.chain(positive).collect() } else { positive.collect() }
        };
        let negatives = if guided { prompts.len() } else { 0 };
        let reading = ReadingPlan { options, negatives };
        match self {
            Self::One(encoder) => {
                let states = encoder.encode(&texts(false), reading, State::Last, run)?;
                Ok((states.hidden, None))
            }
            Self::Two { first, second, zeros_for_missing_negative } => {
                let left = first.encode(&texts(false), reading, State::Penultimate, run)?;
                let right = second.encode(&texts(true), reading, State::Penultimate, run)?;
                let mut states = TextStates { hidden: Tensor::concat(&[&left.hidden, &right.hidden], 2)?, ..right };
                if guided && *zeros_for_missing_negative {
                    states.blank(prompts.iter().map(|prompt| prompt.negative.is_none()))?;
                }
                Ok((states.hidden, states.pooled))
            }
        }
    }
}

/// Which hidden state a family is conditioned on when no layers are skipped.
#[derive(Clone, Copy)]
enum State {
    /// The last one, after the final layer norm. With layers skipped, the norm stays.
    Last,
    /// The last but one, without it.
    Penultimate,
}

impl State {
    fn select(self, output: &ClipTextOutput, model: &ClipText, skipped: usize) -> Result<Tensor> {
        match self {
            Self::Last if skipped == 0 => Ok(output.last_hidden_state.clone()),
            Self::Last => model.final_layer_norm(output.hidden_state(skipped)?),
            Self::Penultimate => output.hidden_state(skipped + 1).cloned(),
        }
    }
}

/// How a batch of texts is read, of which the first few are negative prompts.
#[derive(Clone, Copy)]
struct ReadingPlan {
    options: PromptOptions,
    negatives: usize,
}

impl ReadingPlan {
    /// The hidden state that the family uses. As in diffusers, skipping layers leaves the negative prompt alone.
    fn select(self, state: State, output: &ClipTextOutput, model: &ClipText) -> Result<Tensor> {
        let skipped = self.options.clip_skip;
        let selected = state.select(output, model, skipped)?;
        if skipped == 0 || self.negatives == 0 {
            return Ok(selected);
        }
        let all = selected.dims::<3>("clip_skip")?[0];
        let negative = state.select(output, model, 0)?.narrow(0, 0, self.negatives)?;
        Tensor::concat(&[&negative, &selected.narrow(0, self.negatives, all - self.negatives)?], 0)
    }
}

impl TextEncoder {
    /// Encodes texts window by window.
    fn encode(&self, texts: &[&str], plan: ReadingPlan, state: State, run: &mut Run<'_>) -> Result<TextStates> {
        let reading = Reading { weighting: plan.options.weighting, long: plan.options.long };
        let read = |text: &&str| read_prompt(&self.tokenizer, text, reading);
        let mut prompts = texts.iter().map(read).collect::<Result<Vec<_>>>()?;
        equalize_windows(&self.tokenizer, &mut prompts);
        for truncated in prompts.iter().filter_map(|prompt| prompt.truncated.as_ref()) {
            run.warn(truncated.to_string());
        }
        let (mut hidden, mut pooled) = (Vec::new(), None);
        for window in 0..prompts.first().map_or(0, |prompt| prompt.windows.len()) {
            run.cancel.check()?;
            let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.windows[window].ids.clone()).collect();
            let output = self.model.forward(&ids)?;
            hidden.push(apply_weights(&plan.select(state, &output, &self.model)?, &weights(&prompts, window))?);
            // The pooled embedding is that of the first window.
            pooled = pooled.or(output.text_embeds);
        }
        Ok(TextStates { hidden: Tensor::concat(&hidden.iter().collect::<Vec<_>>(), 1)?, pooled })
    }
}

/// The weights of one window of every prompt, one after the other.
fn weights(prompts: &[PromptWindows], window: usize) -> Vec<f32> {
    prompts.iter().flat_map(|prompt| prompt.windows[window].weights.iter().copied()).collect()
}

impl TextStates {
    /// Replaces the rows of the first half whose flag is set by zeros.
    fn blank(&mut self, flags: impl Iterator<Item = bool>) -> Result<()> {
        let keep: Vec<f32> = flags.map(|blank| if blank { 0.0 } else { 1.0 }).collect();
        let n = keep.len();
        let mask: Vec<f32> = keep.into_iter().chain(std::iter::repeat_n(1.0, n)).collect();
        let device = self.hidden.device();
        self.hidden = self.hidden.mul(&Tensor::from_vec(mask.clone(), &[2 * n, 1, 1], &device)?)?;
        if let Some(pooled) = &self.pooled {
            self.pooled = Some(pooled.mul(&Tensor::from_vec(mask, &[2 * n, 1], &device)?)?);
        }
        Ok(())
    }
}

/// SDXL's micro-conditioning for a batch of `n`, negative half first with guidance.
pub(super) fn added_conditioning(
    pooled: Option<Tensor>,
    sizes: &SizeConditioning,
    [height, width]: [usize; 2],
    n: usize,
    guided: bool,
    from_image: bool,
) -> Result<AddedConditioning> {
    let Some(text_embeds) = pooled else {
        let reason = "the second text encoder has no text_projection, which SDXL's pooled embedding needs";
        return Err(Error::Config {
            file: "text_encoder_2".into(),
            field: "projection_dim".into(),
            reason: reason.into(),
        });
    };
    let ids = |original: [usize; 2], crop: [usize; 2], target: [usize; 2]| -> Vec<f64> {
        [original, crop, target].concat().into_iter().map(|x| x as f64).collect()
    };
    let original = sizes.original_size.unwrap_or([height, width]);
    let target = sizes.target_size.unwrap_or([height, width]);
    let positive = ids(original, sizes.crop_top_left, target);
    // diffusers' text-to-image pipeline gives the negative prompt sizes of its own only when both are given;
    // its image-to-image pipelines fill them in one by one.
    let negative = match (sizes.negative_original_size, sizes.negative_target_size) {
        (Some(original), Some(target)) => ids(original, sizes.negative_crop_top_left, target),
        (own_original, own_target) if from_image => {
            ids(own_original.unwrap_or(original), sizes.negative_crop_top_left, own_target.unwrap_or(target))
        }
        _ => positive.clone(),
    };
    let mut time_ids = if guided { vec![negative; n] } else { Vec::new() };
    time_ids.extend(vec![positive; n]);
    Ok(AddedConditioning { text_embeds, time_ids })
}
