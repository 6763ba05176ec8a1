//! The stages between a text and its ids, in the order in which Hugging Face's `tokenizers` runs them
//! (<https://huggingface.co/docs/tokenizers/pipeline>): added tokens are cut out, the rest is normalised, split into
//! words and looked up in the vocabulary.
//!
//! The library's own `Tokenizer` also trains, pads, and supports every stage of every model family. This one has only
//! the stages that text encoders of image models use, and tokenizers can share a vocabulary.

use super::steps::{Normalizers, PreTokenizers};
use std::sync::Arc;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::{
    AddedVocabulary, Decoder, Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Result, Token,
};

/// The space of byte-level alphabets.
const BYTE_LEVEL_BLANK: char = '\u{120}';
/// The space of sentencepiece vocabularies.
const SENTENCEPIECE_BLANK: char = '\u{2581}';

/// The tokens and the method of finding them in a word. Cheap to clone.
#[derive(Clone)]
pub(super) enum Vocabulary {
    /// Byte-pair encoding (<https://arxiv.org/abs/1508.07909>) over a byte-level alphabet: CLIP, Qwen.
    Bpe(Arc<BPE>),
    /// A unigram language model (<https://arxiv.org/abs/1804.10959>) over characters: T5.
    Unigram(Arc<Unigram>),
}

impl Vocabulary {
    /// The number of tokens, without added ones.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bpe(bpe) => bpe.get_vocab_size(),
            Self::Unigram(unigram) => unigram.get_vocab_size(),
        }
    }

    /// The id of a token, spelled as in the vocabulary's file.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Bpe(bpe) => bpe.token_to_id(token),
            Self::Unigram(unigram) => unigram.token_to_id(token),
        }
    }

    fn tokenize(&self, word: &str) -> Result<Vec<Token>> {
        match self {
            Self::Bpe(bpe) => bpe.tokenize(word),
            Self::Unigram(unigram) => unigram.tokenize(word),
        }
    }

    /// The text of consecutive tokens. Ids that are not in the vocabulary are dropped.
    fn decode(&self, ids: &[u32]) -> String {
        match self {
            Self::Bpe(bpe) => {
                let tokens = ids.iter().filter_map(|&id| bpe.id_to_token(id));
                let tokens = tokens.map(|token| blank_at_end(token, bpe.end_of_word_suffix.as_deref())).collect();
                ByteLevel::default().decode_chain(tokens).unwrap_or_default().concat()
            }
            Self::Unigram(unigram) => {
                let tokens: String = ids.iter().filter_map(|&id| unigram.id_to_token(id)).collect();
                tokens.replace(SENTENCEPIECE_BLANK, " ")
            }
        }
    }
}

/// The token with a space instead of its end-of-word mark.
fn blank_at_end(mut token: String, mark: Option<&str>) -> String {
    if let Some(mark) = mark.filter(|mark| token.ends_with(mark)) {
        token.truncate(token.len() - mark.len());
        token.push(BYTE_LEVEL_BLANK);
    }
    token
}

/// All stages of one tokenizer.
pub(super) struct Encoder {
    pub(super) vocabulary: Vocabulary,
    pub(super) normalizers: Normalizers,
    pub(super) pre_tokenizers: PreTokenizers,
    /// The tokens that are recognised inside a text before anything else.
    pub(super) added: AddedVocabulary,
}

impl Encoder {
    /// The ids of a text, without the tokens around a prompt.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut text: PreTokenizedString = self.added.extract_and_normalize(Some(&self.normalizers), text);
        self.pre_tokenizers.pre_tokenize(&mut text)?;
        text.tokenize(|word| self.vocabulary.tokenize(word.get()))?;
        let words = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
        Ok(words.into_iter().flat_map(|(_, _, tokens)| tokens.iter().flatten()).map(|token| token.id).collect())
    }

    /// The text of these ids, trimmed.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        let added = self.added.get_added_tokens_decoder();
        for run in ids.chunk_by(|left, right| !added.contains_key(left) && !added.contains_key(right)) {
            match run {
                [id] if added.contains_key(id) => text.push_str(&added[id].content),
                _ => text.push_str(&self.vocabulary.decode(run)),
            }
        }
        text.trim().to_owned()
    }
}
