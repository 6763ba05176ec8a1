//! CLIP's tokenizer (<https://github.com/openai/CLIP>), with the same ids as transformers' `CLIPTokenizer`: no ftfy, no
//! HTML entities, NFC, and special tokens recognised inside the prompt.
//!
//! The padding token is a special token too. If it is `!`, every `!` of a prompt becomes id 0, even inside a word.

use super::configuration::Configuration;
use super::encoder::Vocabulary;
use super::special::Names;
use super::steps::{Normalizers, PreTokenizers};
use super::tokenizer::{Parts, TokenizerFiles};
use super::vocabulary::{self, END_OF_TEXT, START_OF_TEXT};
use crate::{Error, Result};
use std::sync::Arc;
use tokenizers::models::bpe::BPE;

/// CLIP's special tokens, for files that do not name them.
const NAMES: Names =
    Names { start: Some(START_OF_TEXT), end: Some(END_OF_TEXT), unknown: Some(END_OF_TEXT), pad: Some(END_OF_TEXT) };

/// Reads `merges.txt` and `vocab.json`. Without the latter the vocabulary is built from the merges, as OpenAI does.
pub(super) fn read(files: &TokenizerFiles<'_>, merges: &[u8], configuration: &Configuration) -> Result<Parts> {
    let vocab = files.vocab.map(|bytes| (files.path("vocab.json"), bytes));
    let vocab = vocab.as_ref().map(|(path, bytes)| (path.as_str(), *bytes));
    let unknown = configuration.text_of("unk_token")?.unwrap_or_else(|| END_OF_TEXT.to_owned());
    let bpe = vocabulary::read_clip(vocab, (&files.path("merges.txt"), merges), &unknown)?;
    parts(Arc::new(bpe))
}

/// CLIP's stages with this vocabulary.
pub(super) fn parts(bpe: Arc<BPE>) -> Result<Parts> {
    let pattern = |error: tokenizers::Error| Error::format("CLIP's tokenizer", error.to_string());
    Ok(Parts {
        vocabulary: Vocabulary::Bpe(bpe),
        normalizers: Normalizers::clip().map_err(pattern)?,
        pre_tokenizers: PreTokenizers::clip().map_err(pattern)?,
        added: Vec::new(),
        names: NAMES,
        around: None,
        pad: None,
    })
}
