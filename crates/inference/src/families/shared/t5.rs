//! Prompts through a T5 text encoder: one window of as many tokens as the family wants, or several for long prompts.

use super::clip::{Texts, window_weights};
use crate::families::{ModelFiles, Prompts, TextEncoder, TextStates};
use crate::models::t5::{T5Config, T5Encoder};
use crate::pipeline::request::SEQUENCE_MAX;
use crate::text::{Reading, Tokenizer, TokenizerFiles, apply_weights, equalize_windows, read_prompt};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};

/// A T5 encoder and the tokenizer that belongs to it.
pub(in crate::families) struct T5TextEncoder {
    tokenizer: Tokenizer,
    model: T5Encoder,
    texts: Texts,
    /// Tokens of a window when no number is asked for.
    length: usize,
}

impl T5TextEncoder {
    /// Builds the encoder `component` with the tokenizer in the folder `tokenizer`, for windows of `length` tokens.
    pub(in crate::families) fn new(
        files: &ModelFiles,
        [component, tokenizer]: [&str; 2],
        weights: &Weights,
        texts: Texts,
        length: usize,
    ) -> Result<Self> {
        let tokenizer = t5_tokenizer(files, component, tokenizer)?;
        let component = files.component(component)?;
        let config = T5Config::from_json(&component.config_file, &component.config)?;
        Ok(Self { tokenizer, model: T5Encoder::new(weights, config)?, texts, length })
    }
}

/// Refuses the encoder of another model by the width of the states that the denoiser takes.
pub(in crate::families) fn check_width(files: &ModelFiles, component: &str, wanted: usize) -> Result<()> {
    let Some(found) = files.get(component) else { return Ok(()) };
    let width = T5Config::from_json(&found.config_file, &found.config)?.d_model;
    if width == wanted {
        return Ok(());
    }
    let reason = format!("{width}, but the denoiser takes text states of {wanted}");
    Err(Error::Config { file: found.config_file.clone(), field: "d_model".into(), reason })
}

/// The tokenizer of a model's folder: single files bring none, and T5's is not built in.
fn t5_tokenizer(files: &ModelFiles, component: &str, folder: &str) -> Result<Tokenizer> {
    let Some(found) = files.tokenizer(folder) else {
        let reason = format!(
            "the vocabulary of {component} is missing; give it with --component {folder}=PATH, a folder with tokenizer.json"
        );
        return Err(Error::format(files.name(), reason));
    };
    Tokenizer::from_files(&TokenizerFiles::find(&found.folder, |name| found.get(name)), SEQUENCE_MAX)
}

impl TextEncoder for T5TextEncoder {
    fn encode(&self, prompts: &Prompts<'_>) -> Result<TextStates> {
        let options = prompts.request.prompt_options;
        let reading = Reading { weighting: options.weighting, long: options.long };
        let tokenizer = self.tokenizer.with_length(options.max_sequence_length.unwrap_or(self.length));
        let read = |text: &str| read_prompt(&tokenizer, text, reading);
        let mut texts = self.texts.of(prompts).into_iter().map(read).collect::<Result<Vec<_>>>()?;
        equalize_windows(&tokenizer, &mut texts);
        let truncated = texts.iter().filter_map(|text| text.truncated.as_ref());
        let warnings = truncated.map(ToString::to_string).collect();
        let mut hidden = Vec::new();
        for window in 0..texts.first().map_or(0, |text| text.windows.len()) {
            prompts.cancel.check()?;
            let ids: Vec<Vec<u32>> = texts.iter().map(|text| text.windows[window].ids.clone()).collect();
            hidden.push(apply_weights(&self.model.forward(&ids)?, &window_weights(&texts, window))?);
        }
        Ok(TextStates { hidden: Tensor::concat(&hidden.iter().collect::<Vec<_>>(), 1)?, pooled: None, warnings })
    }
}
