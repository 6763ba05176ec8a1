//! Encodes prompts with a CLIP text encoder, window by window, with weights and skipped layers.

use crate::families::{ModelFiles, Prompts, TextEncoder, TextStates};
use crate::models::clip_text::{ClipText, ClipTextConfig, ClipTextOutput};
use crate::pipeline::Prompt;
use crate::tensor::Activation;
use crate::text::{
    PadToken, PromptWindows, Reading, Tokenizer, TokenizerFiles, apply_weights, equalize_windows, read_prompt,
};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};

/// The hidden state that a family uses if no layers are skipped.
#[derive(Clone, Copy)]
pub(in crate::families) enum State {
    /// The last one, after the final layer norm. If layers are skipped, the norm is still applied.
    Last,
    /// The second to last, without the norm.
    Penultimate,
}

/// The texts of a picture that an encoder reads.
#[derive(Clone, Copy)]
pub(in crate::families) enum Texts {
    /// The prompt and the negative prompt.
    First,
    /// The prompts for the second encoder, or the others if it has none of its own.
    Second,
}

/// A CLIP text encoder and its tokenizer.
pub(in crate::families) struct ClipEncoder {
    tokenizer: Tokenizer,
    model: ClipText,
    state: State,
    texts: Texts,
    pooling: Pooling,
}

/// The pooled state that a family uses.
#[derive(Clone, Copy)]
pub(in crate::families) enum Pooling {
    /// The projected state; `None` if the encoder has no projection.
    Projected,
    /// The projected state, or the unprojected one if the encoder has no projection: Stable Diffusion 3's single files
    /// omit the first encoder's projection, which is the identity.
    ProjectedIfPossible,
    /// The unprojected state, even if the encoder has a projection.
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

    /// Uses another pooled state.
    pub(in crate::families) fn pooling(self, pooling: Pooling) -> Self {
        Self { pooling, ..self }
    }
}

/// Refuses the encoder of another model if its pooled state has the wrong width for the denoiser.
pub(in crate::families) fn check_width(files: &ModelFiles, component: &str, wanted: usize) -> Result<()> {
    let Some(found) = files.get(component) else { return Ok(()) };
    let width = ClipTextConfig::from_json(&found.config_file, &found.config)?.hidden_size;
    if width == wanted {
        return Ok(());
    }
    let reason = format!("{width}, but the denoiser takes a pooled state of {wanted}");
    Err(Error::Config { file: found.config_file.clone(), field: "hidden_size".into(), reason })
}

/// The tokenizer in the model's folder, or else the built-in one.
fn clip_tokenizer(files: &ModelFiles, folder: &str, config: &ClipTextConfig) -> Result<Tokenizer> {
    let Some(files) = files.tokenizer(folder) else {
        // Single files contain no vocabulary. It is always CLIP's. OpenCLIP's encoders, recognisable by the exact GELU,
        // are padded with token 0.
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

    /// All texts of a batch; with guidance the negative ones come first.
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
    /// The hidden state that the family uses. As in diffusers, skipped layers do not apply to the first `negatives`
    /// texts, the negative prompts.
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

/// The weights of one window of all texts, concatenated.
pub(in crate::families) fn window_weights(texts: &[PromptWindows], window: usize) -> Vec<f32> {
    texts.iter().flat_map(|text| text.windows[window].weights.iter().copied()).collect()
}
