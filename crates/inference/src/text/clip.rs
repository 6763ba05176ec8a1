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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{MAX_PROMPT_BYTES, PadToken};
    use proptest::prelude::*;

    fn clip() -> ClipTokenizer {
        ClipTokenizer::builtin(PadToken::EndOfText).unwrap()
    }

    #[test]
    fn a_prompt_is_framed_and_padded_as_its_family_wants() {
        let encoded = clip().encode("A photo  of a cat!").unwrap();
        assert_eq!(encoded.ids[..8], [49406, 320, 1125, 539, 320, 2368, 256, 49407]);
        assert_eq!(encoded.ids[8..], [49407; 69]);
        assert_eq!(encoded.truncated, None);
        let encoded = ClipTokenizer::builtin(PadToken::Exclamation).unwrap().encode("a cat!").unwrap();
        assert_eq!(encoded.ids[..5], [49406, 320, 2368, 0, 49407]);
        assert_eq!(encoded.ids[5..], [0; 72]);
    }

    #[test]
    fn what_has_no_room_is_cut_before_the_end_token_and_reported() {
        let encoded = clip().encode(&format!("{}Dog house", "cat ".repeat(75))).unwrap();
        assert_eq!((encoded.ids.len(), encoded.ids[75], encoded.ids[76]), (77, 2368, 49407));
        let truncation = encoded.truncated.unwrap();
        assert_eq!((truncation.tokens, truncation.text.as_str()), (2, "dog house"));
        assert_eq!(clip().encode(&"cat ".repeat(75)).unwrap().truncated, None);
    }

    #[test]
    fn a_batch_is_its_prompts_one_by_one() {
        let batch = clip().encode_batch(&["a cat", ""]).unwrap();
        assert_eq!(batch, ["a cat", ""].map(|prompt| clip().encode(prompt).unwrap()));
        assert!(clip().encode_batch(&["", &"x".repeat(MAX_PROMPT_BYTES + 1)]).is_err());
    }

    #[test]
    fn a_megabyte_is_refused_and_the_longest_word_is_quick() {
        let error = clip().encode(&"a".repeat(1 << 20)).unwrap_err().to_string();
        assert_eq!(error, "prompt: 1048576 bytes long, expected at most 65536");
        // Thirty milliseconds where merging is n log n, minutes where it is quadratic.
        for word in ["a", "ab", "!", "\u{301}", "😀"] {
            clip().encode(&word.repeat(MAX_PROMPT_BYTES / word.len())).unwrap();
        }
    }

    /// Text that reaches every rule: any character, and pieces of special tokens and contractions.
    fn text() -> impl Strategy<Value = String> {
        let piece =
            prop_oneof!["\\PC{0,8}", ".{0,8}", "(<\\|)?(startoftext|ENDOFTEXT)(\\|>)?", "'(s|T|re|LL)|!|  |</w>"];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn without_space(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn any_text_becomes_ids_of_the_vocabulary(text in text()) {
            for pad in [PadToken::EndOfText, PadToken::Exclamation] {
                let tokenizer = ClipTokenizer::builtin(pad).unwrap();
                let encoded = tokenizer.encode(&text).unwrap();
                prop_assert_eq!(encoded.ids.len(), 77);
                prop_assert!(encoded.ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            }
        }

        #[test]
        fn decoding_gives_the_normalised_text_back(text in text()) {
            let ids = clip().tokenize(&text).unwrap();
            // In text with special tokens, what lies between them is normalised by itself.
            prop_assume!(!text.to_lowercase().contains("oftext"));
            prop_assert_eq!(without_space(&clip().decode(&ids)), without_space(&normalize(&text)));
        }

        #[test]
        fn any_files_are_read_or_refused(merges in "(.{0,3} ?.{0,3}\n){0,4}", vocab in ".{0,20}", config in ".{0,20}") {
            let files = TokenizerFiles {
                folder: "",
                merges: merges.as_bytes(),
                vocab: None,
                special_tokens_map: None,
                tokenizer_config: None,
            };
            let [vocab, config] = [Some(vocab.as_bytes()), Some(config.as_bytes())];
            _ = ClipTokenizer::from_files(&files, 77);
            _ = ClipTokenizer::from_files(&TokenizerFiles { vocab, ..files }, 77);
            _ = ClipTokenizer::from_files(&TokenizerFiles { tokenizer_config: config, ..files }, 77);
        }
    }
}
