//! The stages of a `tokenizer.json` before the vocabulary: normalisers, which rewrite a text, and pre-tokenizers, which
//! split it into words.
//!
//! Only the stages of CLIP's, T5's and Qwen's tokenizers are supported; each reads its own fields. Any other stage is
//! an error, because ids would be wrong without it.

use super::charsmap;
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::Metaspace;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

/// CLIP's words (<https://github.com/openai/CLIP>, `simple_tokenizer.py`): the text of a special token, a contraction, a
/// run of letters, a single digit or a run of other characters.
const CLIP_WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Normalisers, in order.
#[derive(Default)]
pub(super) struct Normalizers(Vec<Box<dyn Normalizer + Send + Sync>>);

/// Pre-tokenizers, in order.
#[derive(Default)]
pub(super) struct PreTokenizers(Vec<Box<dyn PreTokenizer + Send + Sync>>);

impl Normalizer for Normalizers {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|step| step.normalize(text))
    }
}

impl PreTokenizer for PreTokenizers {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|step| step.pre_tokenize(text))
    }
}

impl Normalizers {
    /// Those of transformers' `CLIPTokenizer`: canonical composition, runs of white space to one space, lower case.
    pub(super) fn clip() -> tokenizers::Result<Self> {
        let white_space = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
        Ok(Self(vec![Box::new(NFC), Box::new(white_space), Box::new(Lowercase)]))
    }

    /// Reads the field `normalizer`.
    pub(super) fn read(file: &str, value: &Value) -> Result<Self> {
        let mut steps = Self::default();
        steps.push(&Stage { file, field: "normalizer", value })?;
        Ok(steps)
    }

    fn push(&mut self, stage: &Stage<'_>) -> Result<()> {
        let step: Box<dyn Normalizer + Send + Sync> = match stage.kind()? {
            None => return Ok(()),
            Some("Sequence") => return stage.each("normalizers", |stage| self.push(stage)),
            Some("NFC") => Box::new(NFC),
            Some("NFD") => Box::new(NFD),
            Some("NFKC") => Box::new(NFKC),
            Some("NFKD") => Box::new(NFKD),
            Some("Lowercase") => Box::new(Lowercase),
            Some("Prepend") => Box::new(stage.read::<Prepend>()?),
            Some("Replace") => Box::new(stage.read::<Replace>()?),
            Some("Strip") => Box::new(stage.read::<Strip>()?),
            Some("Precompiled") => {
                let map = charsmap::read(stage.value).map_err(|reason| stage.error(reason))?;
                Box::new(map)
            }
            Some(other) => return Err(stage.error(format!("type {other} is not supported"))),
        };
        self.0.push(step);
        Ok(())
    }
}

impl PreTokenizers {
    /// Those of transformers' `CLIPTokenizer`. White space between words is dropped. The byte-level stage splits again,
    /// which matters in one case: text that looks like a special token but is not one is split into three words.
    pub(super) fn clip() -> tokenizers::Result<Self> {
        let words = Split::new(SplitPattern::Regex(CLIP_WORDS.into()), SplitDelimiterBehavior::Removed, true)?;
        let bytes = ByteLevel::default().add_prefix_space(false);
        Ok(Self(vec![Box::new(words), Box::new(bytes)]))
    }

    /// Reads the field `pre_tokenizer`.
    pub(super) fn read(file: &str, value: &Value) -> Result<Self> {
        let mut steps = Self::default();
        steps.push(&Stage { file, field: "pre_tokenizer", value })?;
        Ok(steps)
    }

    fn push(&mut self, stage: &Stage<'_>) -> Result<()> {
        let step: Box<dyn PreTokenizer + Send + Sync> = match stage.kind()? {
            None => return Ok(()),
            Some("Sequence") => return stage.each("pretokenizers", |stage| self.push(stage)),
            Some("ByteLevel") => Box::new(stage.read::<ByteLevel>()?),
            Some("Metaspace") => Box::new(stage.read::<Metaspace>()?),
            Some("Split") => Box::new(stage.read::<Split>()?),
            Some("WhitespaceSplit") => Box::new(WhitespaceSplit),
            Some(other) => return Err(stage.error(format!("type {other} is not supported"))),
        };
        self.0.push(step);
        Ok(())
    }
}

/// A stage as it is in the file, with its location for errors.
struct Stage<'a> {
    file: &'a str,
    field: &'static str,
    value: &'a Value,
}

impl Stage<'_> {
    /// The type of the stage, or `None` if there is no stage.
    fn kind(&self) -> Result<Option<&str>> {
        if self.value.is_null() {
            return Ok(None);
        }
        let kind = self.value.get("type").and_then(Value::as_str);
        kind.map(Some).ok_or_else(|| self.error("expected an object with a type"))
    }

    /// Calls `read` with each stage of a sequence.
    fn each(&self, list: &str, mut read: impl FnMut(&Stage<'_>) -> Result<()>) -> Result<()> {
        let stages = self.value.get(list).and_then(Value::as_array);
        let stages = stages.ok_or_else(|| self.error(format!("expected a list {list:?} in a Sequence")))?;
        stages.iter().try_for_each(|value| read(&Stage { value, ..*self }))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(self.value).map_err(|error| self.error(error.to_string()))
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Config { file: self.file.to_owned(), field: self.field.to_owned(), reason: reason.into() }
    }
}
