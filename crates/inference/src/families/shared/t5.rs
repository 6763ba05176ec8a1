//! Encodes prompts with a T5 text encoder: one window with the family's number of tokens, or several for long prompts.

use super::clip::{Texts, window_weights};
use crate::families::parts::way_to_give;
use crate::families::{ModelFiles, Prompts, TextEncoder, TextStates};
use crate::models::t5::{T5Config, T5Encoder};
use crate::pipeline::request::SEQUENCE_MAX;
use crate::text::{Reading, Tokenizer, TokenizerFiles, apply_weights, equalize_windows, read_prompt};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};

/// A T5 encoder and its tokenizer.
pub(in crate::families) struct T5TextEncoder {
    tokenizer: Tokenizer,
    model: T5Encoder,
    texts: Texts,
    /// The default number of tokens of a window.
    length: usize,
}

impl T5TextEncoder {
    /// Builds the encoder `component` with the tokenizer in the folder `tokenizer`, for windows of `length` tokens by
    /// default.
    pub(in crate::families) fn new(
        files: &ModelFiles,
        [component, tokenizer]: [&str; 2],
        weights: &Weights,
        texts: Texts,
        length: usize,
    ) -> Result<Self> {
        let found = files.component(component)?;
        let config = T5Config::from_json(&found.config_file, &found.config)?;
        let tokenizer = t5_tokenizer(files, component, tokenizer, &config)?;
        Ok(Self { tokenizer, model: T5Encoder::new(weights, config)?, texts, length })
    }
}

/// Refuses the encoder of another model if its states have the wrong width for the denoiser.
pub(in crate::families) fn check_width(files: &ModelFiles, component: &str, wanted: usize) -> Result<()> {
    let Some(found) = files.get(component) else { return Ok(()) };
    let width = T5Config::from_json(&found.config_file, &found.config)?.d_model;
    if width == wanted {
        return Ok(());
    }
    let reason = format!("{width}, but the denoiser takes text states of {wanted}");
    Err(Error::Config { file: found.config_file.clone(), field: "d_model".into(), reason })
}

/// The tokenizer of a model's folder, else the one that is built in.
fn t5_tokenizer(files: &ModelFiles, component: &str, folder: &str, config: &T5Config) -> Result<Tokenizer> {
    let Some(found) = files.tokenizer(folder) else { return built_in(files, component, folder, config) };
    Tokenizer::from_files(&TokenizerFiles::find(&found.folder, |name| found.get(name)), SEQUENCE_MAX)
}

/// The tokenizer of all published models, for encoders with a row for each of its tokens.
#[cfg(feature = "native")]
fn built_in(files: &ModelFiles, component: &str, folder: &str, config: &T5Config) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::t5(SEQUENCE_MAX)?;
    let tokens = tokenizer.vocab_size();
    if config.vocab_size >= tokens {
        return Ok(tokenizer);
    }
    let reason = format!("it has {} tokens, and T5's, which is built in, {tokens}", config.vocab_size);
    Err(missing(files, component, folder, &reason))
}

/// A page has none.
#[cfg(not(feature = "native"))]
fn built_in(files: &ModelFiles, component: &str, folder: &str, _config: &T5Config) -> Result<Tokenizer> {
    Err(missing(files, component, folder, "single files bring none"))
}

fn missing(files: &ModelFiles, component: &str, folder: &str, why: &str) -> Error {
    let way = way_to_give(folder);
    Error::format(
        files.name(),
        format!("the vocabulary of {component} is missing ({why}); {way}, a folder with tokenizer.json"),
    )
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
