//! Tokenizers: text to token ids and back, and the special tokens around a prompt.

use super::builtin::{self, PadToken};
use super::clip;
use super::configuration::Configuration;
use super::encoder::{Encoder, Vocabulary};
use super::json;
use super::post_processor::Around;
use super::special::{Listed, Names, SpecialTokens};
use super::steps::{Normalizers, PreTokenizers};
use crate::{Error, Result};
use std::sync::Arc;

/// The longest prompt, in bytes of UTF-8. A window holds a few hundred bytes; this is far more than people write, and
/// small enough that every prompt takes a fraction of a second.
pub const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// The bytes of a tokenizer folder. A folder needs `tokenizer.json` or `merges.txt`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// The name of the folder in error messages, for example `tokenizer_2`.
    pub folder: &'a str,
    /// `tokenizer.json`. If it exists, it is read instead of the vocabulary and the merges.
    pub tokenizer_json: Option<&'a [u8]>,
    /// CLIP's `merges.txt`.
    pub merges: Option<&'a [u8]>,
    /// CLIP's `vocab.json`. Without it the vocabulary is built from the merges, as OpenAI does.
    pub vocab: Option<&'a [u8]>,
    /// `special_tokens_map.json`.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<&'a [u8]>,
}

impl<'a> TokenizerFiles<'a> {
    /// The names of all files of a tokenizer.
    pub const NAMES: [&'static str; 5] =
        ["tokenizer.json", "merges.txt", "vocab.json", "special_tokens_map.json", "tokenizer_config.json"];

    /// The files of a folder; `get` finds one by name.
    pub fn find(folder: &'a str, get: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let [tokenizer_json, merges, vocab, special_tokens_map, tokenizer_config] = Self::NAMES.map(get);
        Self { folder, tokenizer_json, merges, vocab, special_tokens_map, tokenizer_config }
    }

    pub(super) fn path(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }
}

/// The parts of a tokenizer from the vocabulary's file; the rest comes from the configuration files.
pub(super) struct Parts {
    pub(super) vocabulary: Vocabulary,
    pub(super) normalizers: Normalizers,
    pub(super) pre_tokenizers: PreTokenizers,
    /// The added tokens that the file lists.
    pub(super) added: Vec<Listed>,
    /// The named tokens, for configurations that do not name them.
    pub(super) names: Names,
    /// The special tokens around a prompt; `None` for those named as start and end.
    pub(super) around: Option<Around>,
    /// The padding token if none is named.
    pub(super) pad: Option<u32>,
}

/// A vocabulary with its rules and the special tokens of one model. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    encoder: Arc<Encoder>,
    frame: Frame,
}

impl Tokenizer {
    /// Reads a tokenizer folder. Windows have `model_max_length` tokens, but never more than the text encoder's
    /// `positions` (`max_position_embeddings`).
    ///
    /// Fails with [`Error::Format`] for missing files and for damaged vocabularies or merges, naming file and line, and
    /// with [`Error::Config`] for an invalid configuration.
    pub fn from_files(files: &TokenizerFiles<'_>, positions: usize) -> Result<Self> {
        let configuration = Configuration::read(files)?;
        let parts = match (files.tokenizer_json, files.merges) {
            (Some(bytes), _) => json::read(&files.path("tokenizer.json"), bytes)?,
            (None, Some(merges)) => clip::read(files, merges, &configuration)?,
            (None, None) => {
                let reason = "no tokenizer.json and no merges.txt, expected one of them";
                return Err(Error::format(files.folder, reason));
            }
        };
        Self::new(parts, &configuration, positions)
    }

    /// CLIP's built-in tokenizer, with windows of 77 tokens. The first call unpacks the vocabulary.
    pub fn clip(pad: PadToken) -> Result<Self> {
        builtin::tokenizer(pad)
    }

    /// T5's built-in tokenizer, with windows of this many tokens. The first call unpacks the vocabulary.
    #[cfg(feature = "native")]
    pub fn t5(length: usize) -> Result<Self> {
        super::builtin_t5::tokenizer(length)
    }

    pub(super) fn new(parts: Parts, configuration: &Configuration, positions: usize) -> Result<Self> {
        let Parts { vocabulary, normalizers, pre_tokenizers, added, names, around, pad } = parts;
        let special = SpecialTokens::read(configuration, added, &names, &vocabulary, &normalizers)?;
        let Around { start, end } = around.unwrap_or(Around { start: special.start, end: special.end });
        let pad = special.pad.or(pad).or(end).ok_or_else(|| {
            configuration
                .config
                .error("pad_token", "expected the text of a token, because nothing else defines the padding")
        })?;
        let length = configuration.max_length()?.map_or(positions, |length| length.min(positions));
        let encoder = Encoder { vocabulary, normalizers, pre_tokenizers, added: special.added };
        Ok(Self { encoder: Arc::new(encoder), frame: Frame { start, end, pad, length } })
    }

    /// The number of tokens in the vocabulary, without added ones.
    pub fn vocab_size(&self) -> usize {
        self.encoder.vocabulary.len()
    }

    /// The ids of a text, without start, end or padding, and not truncated.
    ///
    /// Fails with [`Error::Invalid`] if the text is longer than [`MAX_PROMPT_BYTES`].
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text)?;
        self.encoder.encode(text).map_err(|error| Error::invalid("prompt", error.to_string()))
    }

    /// The normalised text of these ids: CLIP's is in lower case. Unknown ids are dropped.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.encoder.decode(ids)
    }

    /// The special tokens and the padding around a prompt.
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The same tokenizer with windows of another length.
    pub fn with_length(&self, length: usize) -> Self {
        Self { frame: Frame { length, ..self.frame }, ..self.clone() }
    }

    /// The ids of a single window: start, as much of the prompt as fits, end, padding.
    pub fn encode(&self, prompt: &str) -> Result<Encoded> {
        let ids = self.tokenize(prompt)?;
        let (kept, cut) = ids.split_at(ids.len().min(self.frame.content()));
        let truncated = (!cut.is_empty()).then(|| Truncation { tokens: cut.len(), text: self.decode(cut) });
        Ok(Encoded { ids: self.frame.wrap(kept), truncated })
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).field("frame", &self.frame).finish()
    }
}

/// The special tokens around a prompt, and the length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The token before the prompt, if the model has one: CLIP does, T5 and Qwen do not.
    pub start: Option<u32>,
    /// The token after the prompt, if the model has one: CLIP and T5 do.
    pub end: Option<u32>,
    /// The token that fills the rest of the window.
    pub pad: u32,
    /// The number of tokens of a window.
    pub length: usize,
}

impl Frame {
    /// How many tokens of a prompt fit into a window.
    pub fn content(&self) -> usize {
        let around = usize::from(self.start.is_some()) + usize::from(self.end.is_some());
        self.length.saturating_sub(around)
    }

    /// `length` ids: start, `content`, end, padding. Content that does not fit is dropped.
    pub fn wrap(&self, content: &[u32]) -> Vec<u32> {
        let content = content.iter().copied().take(self.content());
        let mut ids: Vec<u32> = self.start.into_iter().chain(content).chain(self.end).collect();
        ids.resize(self.length, self.pad);
        ids
    }
}

/// One window of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// [`Frame::length`] ids.
    pub ids: Vec<u32>,
    /// The part that did not fit, if any, for a warning.
    pub truncated: Option<Truncation>,
}

/// The part of a prompt that the model does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// How many tokens were cut off.
    pub tokens: usize,
    /// Their text, normalised.
    pub text: String,
}

impl std::fmt::Display for Truncation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.tokens == 1 { "" } else { "s" };
        write!(f, "the prompt is {} token{plural} too long; this part was cut off: {}", self.tokens, self.text)
    }
}

/// Refuses a prompt of more than [`MAX_PROMPT_BYTES`].
pub(super) fn check_length(prompt: &str) -> Result<()> {
    if prompt.len() <= MAX_PROMPT_BYTES {
        return Ok(());
    }
    let reason = format!("{} bytes long, expected at most {MAX_PROMPT_BYTES}", prompt.len());
    Err(Error::invalid("prompt", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::{NormalizedString, Normalizer};

    fn clip() -> Tokenizer {
        Tokenizer::clip(PadToken::EndOfText).unwrap()
    }

    #[test]
    fn a_frame_may_lack_a_start() {
        let frame = Frame { start: None, end: Some(1), pad: 0, length: 5 };
        assert_eq!(frame.wrap(&[7, 8]), [7, 8, 1, 0, 0]);
        assert_eq!(frame.wrap(&[7, 8, 9, 10, 11]), [7, 8, 9, 10, 1]);
        let frame = Frame { start: Some(2), ..frame };
        assert_eq!(frame.wrap(&[7, 8, 9, 10, 11]), [2, 7, 8, 9, 1]);
        assert_eq!(Frame { length: 1, ..frame }.wrap(&[7]), [2]);
        let frame = Frame { start: None, end: None, ..frame };
        assert_eq!((frame.content(), frame.wrap(&[7])), (5, vec![7, 0, 0, 0, 0]));
    }

    #[test]
    fn a_truncation_is_one_readable_line() {
        let one = Truncation { tokens: 1, text: "cat".into() };
        assert_eq!(one.to_string(), "the prompt is 1 token too long; this part was cut off: cat");
    }

    #[test]
    fn a_prompt_is_framed_and_padded_for_its_family() {
        let encoded = clip().encode("A photo  of a cat!").unwrap();
        assert_eq!(encoded.ids[..8], [49406, 320, 1125, 539, 320, 2368, 256, 49407]);
        assert_eq!(encoded.ids[8..], [49407; 69]);
        assert_eq!(encoded.truncated, None);
        let encoded = Tokenizer::clip(PadToken::Exclamation).unwrap().encode("a cat!").unwrap();
        assert_eq!(encoded.ids[..5], [49406, 320, 2368, 0, 49407]);
        assert_eq!(encoded.ids[5..], [0; 72]);
    }

    #[test]
    fn a_long_prompt_is_cut_before_the_end_token_and_the_cut_is_reported() {
        let encoded = clip().encode(&format!("{}Dog house", "cat ".repeat(75))).unwrap();
        assert_eq!((encoded.ids.len(), encoded.ids[75], encoded.ids[76]), (77, 2368, 49407));
        let truncation = encoded.truncated.unwrap();
        assert_eq!((truncation.tokens, truncation.text.as_str()), (2, "dog house"));
        assert_eq!(clip().encode(&"cat ".repeat(75)).unwrap().truncated, None);
    }

    #[test]
    fn a_megabyte_is_refused_and_the_longest_word_is_quick() {
        let error = clip().encode(&"a".repeat(1 << 20)).unwrap_err().to_string();
        assert_eq!(error, "prompt: 1048576 bytes long, expected at most 65536");
        // Thirty milliseconds if merging is n log n, minutes if it is quadratic.
        for word in ["a", "ab", "!", "\u{301}", "😀"] {
            clip().encode(&word.repeat(MAX_PROMPT_BYTES / word.len())).unwrap();
        }
    }

    /// Text that exercises every rule: any character, and pieces of special tokens and contractions.
    fn text() -> impl Strategy<Value = String> {
        let piece =
            prop_oneof!["\\PC{0,8}", ".{0,8}", "(<\\|)?(startoftext|ENDOFTEXT)(\\|>)?", "'(s|T|re|LL)|!|  |</w>"];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn normalize(text: &str) -> String {
        let mut text = NormalizedString::from(text);
        clip().encoder.normalizers.normalize(&mut text).unwrap();
        text.get().to_owned()
    }

    fn without_space(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn any_text_becomes_ids_of_the_vocabulary(text in text()) {
            for pad in [PadToken::EndOfText, PadToken::Exclamation] {
                let tokenizer = Tokenizer::clip(pad).unwrap();
                let encoded = tokenizer.encode(&text).unwrap();
                prop_assert_eq!(encoded.ids.len(), 77);
                prop_assert!(encoded.ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            }
        }

        #[test]
        fn decoding_returns_the_normalised_text(text in text()) {
            let ids = clip().tokenize(&text).unwrap();
            // In text with special tokens, the parts between them are normalised separately.
            prop_assume!(!text.to_lowercase().contains("oftext"));
            prop_assert_eq!(without_space(&clip().decode(&ids)), without_space(&normalize(&text)));
        }

        #[test]
        fn any_files_are_read_or_refused(merges in "(.{0,3} ?.{0,3}\n){0,4}", vocab in ".{0,20}", config in ".{0,20}") {
            let files = TokenizerFiles {
                merges: Some(merges.as_bytes()),
                ..TokenizerFiles::default()
            };
            let [vocab, config] = [Some(vocab.as_bytes()), Some(config.as_bytes())];
            _ = Tokenizer::from_files(&files, 77);
            _ = Tokenizer::from_files(&TokenizerFiles { vocab, ..files }, 77);
            _ = Tokenizer::from_files(&TokenizerFiles { tokenizer_config: config, ..files }, 77);
        }
    }
}
