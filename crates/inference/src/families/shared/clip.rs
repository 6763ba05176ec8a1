//! Prompts through a CLIP text encoder, window by window, with weights and skipped layers.

use crate::families::{ModelFiles, Prompts, TextEncoder, TextStates};
use crate::models::clip_text::{ClipText, ClipTextConfig, ClipTextOutput};
use crate::pipeline::Prompt;
use crate::tensor::Activation;
use crate::text::{
    PadToken, PromptWindows, Reading, Tokenizer, TokenizerFiles, apply_weights, equalize_windows, read_prompt,
};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};

/// Which hidden state a family is conditioned on when no layers are skipped.
#[derive(Clone, Copy)]
pub(in crate::families) enum State {
    /// The last one, after the final layer norm. With layers skipped, the norm stays.
    Last,
    /// The last but one, without it.
    Penultimate,
}

/// Which of a picture's texts an encoder reads.
#[derive(Clone, Copy)]
pub(in crate::families) enum Texts {
    /// The prompt and the negative prompt.
    First,
    /// Those for the second encoder, where there are any of their own.
    Second,
}

/// A CLIP text encoder and the tokenizer that belongs to it.
pub(in crate::families) struct ClipEncoder {
    tokenizer: Tokenizer,
    model: ClipText,
    state: State,
    texts: Texts,
    pooling: Pooling,
}

/// Which pooled state a family is conditioned on.
#[derive(Clone, Copy)]
pub(in crate::families) enum Pooling {
    /// The projected one; none if the encoder has no projection.
    Projected,
    /// The projected one, else that without a projection: Stable Diffusion 3's single files leave out the projection of the
    /// first encoder, which does nothing.
    ProjectedIfPossible,
    /// That without a projection, even where the encoder has one.
    Unprojected,
}

impl ClipEncoder {
    /// Builds the encoder `component` with the tokenizer in the folder `tokenizer`.
    pub(in crate::families) fn new(
        files: &ModelFiles,
        [component, tokenizer]: [&str; 2],
        weights: &Weights,
        state: State,
        texts: Texts,
    ) -> Result<Self> {
        let component = files.component(component)?;
        let config = ClipTextConfig::from_json(&component.config_file, &component.config)?;
        let tokenizer = clip_tokenizer(files, tokenizer, &config)?;
        Ok(Self { tokenizer, model: ClipText::new(weights, config)?, state, texts, pooling: Pooling::Projected })
    }

    /// The same with another pooled state.
    pub(in crate::families) fn pooling(self, pooling: Pooling) -> Self {
        Self { pooling, ..self }
    }
}

/// Refuses the encoder of another model by the width of the pooled state that the denoiser takes.
pub(in crate::families) fn check_width(files: &ModelFiles, component: &str, wanted: usize) -> Result<()> {
    let Some(found) = files.get(component) else { return Ok(()) };
    let width = ClipTextConfig::from_json(&found.config_file, &found.config)?.hidden_size;
    if width == wanted {
        return Ok(());
    }
    let reason = format!("{width}, but the denoiser takes a pooled state of {wanted}");
    Err(Error::Config { file: found.config_file.clone(), field: "hidden_size".into(), reason })
}

/// The tokenizer of a model's folder, else the one that is built in.
fn clip_tokenizer(files: &ModelFiles, folder: &str, config: &ClipTextConfig) -> Result<Tokenizer> {
    let Some(files) = files.tokenizer(folder) else {
        // Checkpoints in one file bring no vocabulary. It is CLIP's; OpenCLIP's encoders, which are those with the
        // exact GELU, are padded with token 0.
        let open_clip = config.hidden_act == Activation::Gelu;
        return Tokenizer::clip(if open_clip { PadToken::Exclamation } else { PadToken::EndOfText });
    };
    let files = TokenizerFiles::find(&files.folder, |name| files.get(name));
    Tokenizer::from_files(&files, config.max_position_embeddings)
}

impl Texts {
    fn positive(self, prompt: &Prompt) -> &str {
        match (self, &prompt.text_2) {
            (Self::Second, Some(own)) => own,
            _ => &prompt.text,
        }
    }

    fn negative(self, prompt: &Prompt) -> &str {
        let own = match self {
            Self::First => None,
            Self::Second => prompt.negative_2.as_deref(),
        };
        own.or(prompt.negative.as_deref()).unwrap_or("")
    }

    /// All texts of a batch, with guidance the negative ones first.
    pub(in crate::families) fn of<'a>(self, prompts: &Prompts<'a>) -> Vec<&'a str> {
        let positive = prompts.batch.iter().map(|prompt| self.positive(prompt));
        let negative = prompts.batch.iter().map(|prompt| self.negative(prompt));
        if prompts.guided { negative.chain(positive).collect() } else { positive.collect() }
    }
}

impl TextEncoder for ClipEncoder {
    fn encode(&self, prompts: &Prompts<'_>) -> Result<TextStates> {
        let options = prompts.request.prompt_options;
        let reading = Reading { weighting: options.weighting, long: options.long };
        let read = |text: &str| read_prompt(&self.tokenizer, text, reading);
        let mut texts = self.texts.of(prompts).into_iter().map(read).collect::<Result<Vec<_>>>()?;
        equalize_windows(&self.tokenizer, &mut texts);
        let truncated = texts.iter().filter_map(|text| text.truncated.as_ref());
        let warnings = truncated.map(ToString::to_string).collect();
        let negatives = if prompts.guided { prompts.batch.len() } else { 0 };
        let mut hidden = Vec::new();
        let mut pooled = None;
        for window in 0..texts.first().map_or(0, |text| text.windows.len()) {
            prompts.cancel.check()?;
            let ids: Vec<Vec<u32>> = texts.iter().map(|text| text.windows[window].ids.clone()).collect();
            let output = self.model.forward(&ids)?;
            let selected = self.select(&output, options.clip_skip, negatives)?;
            hidden.push(apply_weights(&selected, &window_weights(&texts, window))?);
            // The pooled embedding is that of the first window.
            pooled = pooled.or(match self.pooling {
                Pooling::Projected => output.text_embeds,
                Pooling::ProjectedIfPossible => output.text_embeds.or(Some(output.pooled)),
                Pooling::Unprojected => Some(output.pooled),
            });
        }
        Ok(TextStates { hidden: Tensor::concat(&hidden.iter().collect::<Vec<_>>(), 1)?, pooled, warnings })
    }
}

impl ClipEncoder {
    /// The hidden state that the family uses. As in diffusers, skipping layers leaves the first `negatives` texts, which
    /// are the negative prompts, alone.
    fn select(&self, output: &ClipTextOutput, skipped: usize, negatives: usize) -> Result<Tensor> {
        let selected = self.state_of(output, skipped)?;
        if skipped == 0 || negatives == 0 {
            return Ok(selected);
        }
        let [all, ..] = selected.dims::<3>("clip_skip")?;
        let negative = self.state_of(output, 0)?.narrow(0, 0, negatives)?;
        Tensor::concat(&[&negative, &selected.narrow(0, negatives, all - negatives)?], 0)
    }

    fn state_of(&self, output: &ClipTextOutput, skipped: usize) -> Result<Tensor> {
        match self.state {
            State::Last if skipped == 0 => Ok(output.last_hidden_state.clone()),
            State::Last => self.model.final_layer_norm(output.hidden_state(skipped)?),
            State::Penultimate => output.hidden_state(skipped + 1).cloned(),
        }
    }
}

/// The weights of one window of every text, one after the other.
pub(in crate::families) fn window_weights(texts: &[PromptWindows], window: usize) -> Vec<f32> {
    texts.iter().flat_map(|text| text.windows[window].weights.iter().copied()).collect()
}
