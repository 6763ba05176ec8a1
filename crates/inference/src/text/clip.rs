//! CLIP's tokenizer (<https://github.com/openai/CLIP>), id for id as transformers' `CLIPTokenizer` has it: no ftfy, no
//! HTML entities, NFC, and special tokens recognised inside the prompt.
//!
//! The padding token is a special token too. Where it is `!`, every `!` of a prompt becomes id 0, also inside a word.

use super::bpe::Bpe;
use super::builtin::{PadToken, clip_bpe};
use super::special::{Configuration, Piece, SpecialTokens};
use super::tokenizer::{Frame, Tokenizer, check_length};
use super::vocabulary;
use super::words::{for_each_word, normalize};
use crate::Result;
use std::sync::Arc;

/// The bytes of a tokenizer folder.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerFiles<'a> {
    /// Where the files are, for error messages: `tokenizer_2`, for example.
    pub folder: &'a str,
    /// `merges.txt`.
    pub merges: &'a [u8],
    /// `vocab.json`. Without it the vocabulary is built from the merges, as OpenAI does.
    pub vocab: Option<&'a [u8]>,
    /// `special_tokens_map.json`.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<&'a [u8]>,
}

impl TokenizerFiles<'_> {
    pub(super) fn path(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }
}

/// CLIP's byte-level byte-pair encoding with the special tokens of one model. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClipTokenizer {
    bpe: Arc<Bpe>,
    special: Arc<SpecialTokens>,
    length: usize,
}

impl ClipTokenizer {
    /// Reads a tokenizer folder. Windows have `model_max_length` tokens, but never more than the text encoder has
    /// positions (`max_position_embeddings`).
    ///
    /// Fails with [`Error::Format`](crate::Error::Format) for a vocabulary or merges that are damaged, naming file and
    /// line, and with [`Error::Config`](crate::Error::Config) for a configuration that does not fit.
    pub fn from_files(files: &TokenizerFiles<'_>, max_position_embeddings: usize) -> Result<Self> {
        let configuration = Configuration::read(files)?;
        let vocab = files.vocab.map(|bytes| (files.path("vocab.json"), bytes));
        let vocab = vocab.as_ref().map(|(path, bytes)| (path.as_str(), *bytes));
        let merges = (&*files.path("merges.txt"), files.merges);
        let bpe = vocabulary::read(vocab, merges, &configuration.unknown()?)?;
        Self::new(Arc::new(bpe), &configuration, max_position_embeddings)
    }

    /// The full CLIP vocabulary, which is built in, in windows of 77 tokens. The first call unpacks it.
    pub fn builtin(pad: PadToken) -> Result<Self> {
        Self::new(clip_bpe()?, &Configuration::clip(pad.text()), 77)
    }

    fn new(bpe: Arc<Bpe>, configuration: &Configuration, positions: usize) -> Result<Self> {
        let special = Arc::new(SpecialTokens::new(configuration, &bpe)?);
        let length = configuration.max_length()?.map_or(positions, |length| length.min(positions));
        Ok(Self { bpe, special, length })
    }

    /// How many tokens the vocabulary has, added ones not counted.
    pub fn vocab_size(&self) -> usize {
        self.bpe.len()
    }
}

impl Tokenizer for ClipTokenizer {
    fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text)?;
        let mut ids = Vec::new();
        for piece in self.special.split(text, false) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(text) => self.tokenize_normalized(&normalize(text), &mut ids),
            }
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            let added = self.special.text(id).map(str::as_bytes);
            bytes.extend_from_slice(added.or_else(|| self.bpe.text(id)).unwrap_or_default());
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    fn frame(&self) -> Frame {
        let SpecialTokens { start, end, pad, .. } = *self.special;
        Frame { start: Some(start), end, pad, length: self.length }
    }
}

impl ClipTokenizer {
    fn tokenize_normalized(&self, text: &str, ids: &mut Vec<u32>) {
        for piece in self.special.split(text, true) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(text) => for_each_word(text, |word| self.bpe.encode_word(word, ids)),
            }
        }
    }
}
