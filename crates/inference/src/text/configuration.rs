//! The settings in `special_tokens_map.json` and `tokenizer_config.json`: special tokens and the length of windows.

use super::tokenizer::TokenizerFiles;
use super::vocabulary::{END_OF_TEXT, START_OF_TEXT};
use crate::fields::Fields;
use crate::{Error, Result};
use serde_json::{Map, Value};
use tokenizers::AddedToken;

/// The two configuration files. Both are optional.
pub(super) struct Configuration {
    pub(super) config: Section,
    map: Section,
}

/// One file, for lookups whose errors name it.
pub(super) struct Section {
    file: String,
    fields: Map<String, Value>,
}

impl Section {
    pub(super) fn new(file: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self { file: file.into(), fields }
    }

    fn read(file: String, bytes: Option<&[u8]>) -> Result<Self> {
        let fields = bytes.map_or(Ok(Map::new()), |bytes| {
            let reason = |error| Error::format(&file, format!("expected an object of settings: {error}"));
            serde_json::from_slice(bytes).map_err(reason)
        })?;
        Ok(Self { file, fields })
    }

    fn reader(&self) -> Fields<'_> {
        Fields::of(&self.file, &self.fields)
    }

    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.reader().value(field)
    }

    pub(super) fn error(&self, field: &str, reason: impl Into<String>) -> Error {
        self.reader().error(field, reason)
    }

    /// A token, written as a string or as an object with `content` and the rules for matching it.
    pub(super) fn token(&self, field: &str, value: &Value) -> Result<AddedToken> {
        let content = value.as_str().or_else(|| value.get("content")?.as_str());
        let Some(content) = content.filter(|content| !content.is_empty()) else {
            return Err(self.error(field, format!("expected the text of a token, got {value}")));
        };
        let rule = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Ok(AddedToken {
            content: content.to_owned(),
            single_word: rule("single_word"),
            lstrip: rule("lstrip"),
            rstrip: rule("rstrip"),
            normalized: rule("normalized"),
            special: true,
        })
    }
}

impl Configuration {
    pub(super) fn read(files: &TokenizerFiles<'_>) -> Result<Self> {
        let config = Section::read(files.path("tokenizer_config.json"), files.tokenizer_config)?;
        let map = Section::read(files.path("special_tokens_map.json"), files.special_tokens_map)?;
        Ok(Self { config, map })
    }

    /// The configuration of CLIP with this padding token, as in the families' repositories.
    pub(super) fn clip(pad: &str) -> Self {
        let token = |content: &str| serde_json::json!({ "content": content, "normalized": true });
        let mut fields = Map::new();
        fields.insert("bos_token".into(), token(START_OF_TEXT));
        fields.insert("eos_token".into(), token(END_OF_TEXT));
        fields.insert("pad_token".into(), pad.into());
        let file = "the built-in vocabulary";
        Self { config: Section::new(file, Map::new()), map: Section::new(file, fields) }
    }

    /// The most tokens of a prompt, including start and end, if the configuration limits them.
    pub(super) fn max_length(&self) -> Result<Option<usize>> {
        const FIELD: &str = "model_max_length";
        let Some(value) = self.config.get(FIELD) else { return Ok(None) };
        // "No limit" is written as a huge number.
        match value.as_f64() {
            Some(length) if length >= 3.0 => Ok(Some(length as usize)),
            _ => Err(self.config.error(FIELD, format!("expected at least 3 tokens, got {value}"))),
        }
    }

    /// The file that names a token (for example `eos_token`), and its entry. The map takes precedence, but is ignored
    /// beside files with `added_tokens_decoder`, the newer kind that makes it redundant.
    pub(super) fn named(&self, field: &str) -> Option<(&Section, &Value)> {
        let newer = self.config.get("added_tokens_decoder").is_some();
        let sections = [Some(&self.map).filter(|_| !newer), Some(&self.config)].into_iter().flatten();
        sections.filter_map(|section| Some((section, section.get(field)?))).next()
    }

    /// The text of a named token.
    pub(super) fn text_of(&self, field: &str) -> Result<Option<String>> {
        let named = self.named(field);
        named.map(|(section, value)| Ok(section.token(field, value)?.content)).transpose()
    }
}
