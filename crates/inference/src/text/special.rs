//! CLIP's special tokens: reading `special_tokens_map.json` and `tokenizer_config.json`, and finding them in a prompt.

use super::bpe::Bpe;
use super::clip::TokenizerFiles;
use super::vocabulary::{END_OF_TEXT, START_OF_TEXT};
use super::words::normalize;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// The special tokens of one tokenizer.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
    /// What is recognised inside a prompt, before anything else.
    added: Vec<AddedToken>,
}

/// The largest number of added tokens: each is looked for at every place of a prompt.
const ADDED_MAX: usize = 1024;

/// A token that is matched as text, wherever it stands, even inside a word.
#[derive(Debug)]
struct AddedToken {
    content: String,
    id: u32,
    /// Matched after normalisation (so in capitals too) instead of before.
    normalized: bool,
}

/// A part of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Token(u32),
}

/// The two configuration files, either of which may be absent.
pub(super) struct Configuration {
    config: Section,
    map: Section,
}

/// One file, for lookups with errors that name it.
struct Section {
    file: String,
    fields: Map<String, Value>,
}

impl Section {
    fn read((file, bytes): (String, Option<&[u8]>)) -> Result<Self> {
        let fields = bytes.map_or(Ok(Map::new()), |bytes| {
            let reason = |error| Error::format(&file, format!("expected an object of settings: {error}"));
            serde_json::from_slice(bytes).map_err(reason)
        })?;
        Ok(Self { file, fields })
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn error(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::Config { file: self.file.clone(), field: field.to_owned(), reason: reason.into() }
    }

    /// A token, written as a string or as an object with `content` and `normalized`.
    fn token(&self, field: &str, value: &Value) -> Result<(String, bool)> {
        let content = value.as_str().or_else(|| value.get("content")?.as_str());
        let Some(content) = content.filter(|content| !content.is_empty()) else {
            return Err(self.error(field, format!("expected the text of a token, got {value}")));
        };
        if value.get("single_word").and_then(Value::as_bool) == Some(true) {
            return Err(self.error(field, "single_word true is not supported"));
        }
        Ok((content.to_owned(), value.get("normalized").and_then(Value::as_bool).unwrap_or(false)))
    }
}

impl Configuration {
    pub(super) fn read(files: &TokenizerFiles<'_>) -> Result<Self> {
        let config = Section::read((files.path("tokenizer_config.json"), files.tokenizer_config))?;
        let map = Section::read((files.path("special_tokens_map.json"), files.special_tokens_map))?;
        Ok(Self { config, map })
    }

    /// The configuration of CLIP with this padding token, as the repositories of the families have it.
    pub(super) fn clip(pad: &str) -> Self {
        let token = |content: &str| serde_json::json!({ "content": content, "normalized": true });
        let mut fields = Map::new();
        fields.insert("bos_token".into(), token(START_OF_TEXT));
        fields.insert("eos_token".into(), token(END_OF_TEXT));
        fields.insert("pad_token".into(), pad.into());
        let section = |fields| Section { file: "the built-in vocabulary".into(), fields };
        Self { config: section(Map::new()), map: section(fields) }
    }

    /// How many tokens a prompt may have, start and end included, if the configuration says so.
    pub(super) fn max_length(&self) -> Result<Option<usize>> {
        const FIELD: &str = "model_max_length";
        let Some(value) = self.config.get(FIELD) else { return Ok(None) };
        // "No limit" is written as a huge number.
        match value.as_f64() {
            Some(length) if length >= 3.0 => Ok(Some(length as usize)),
            _ => Err(self.config.error(FIELD, format!("expected a number of tokens from 3, got {value}"))),
        }
    }

    /// The text of the token for unknown bytes.
    pub(super) fn unknown(&self) -> Result<String> {
        Ok(self.named("unk_token", END_OF_TEXT)?.0)
    }

    /// A named token, with the file that it comes from. The map wins, but files with `added_tokens_decoder` are of the
    /// newer kind that makes the map redundant: there it is not read.
    fn named(&self, field: &str, default: &str) -> Result<(String, bool, &Section)> {
        let newer = self.config.get("added_tokens_decoder").is_some();
        let sections = [Some(&self.map).filter(|_| !newer), Some(&self.config)].into_iter().flatten();
        let mut found = sections.filter_map(|section| Some((section, section.get(field)?)));
        let Some((section, value)) = found.next() else { return Ok((default.to_owned(), false, &self.config)) };
        let (content, normalized) = section.token(field, value)?;
        Ok((content, normalized, section))
    }
}

impl SpecialTokens {
    /// Looks the tokens of a configuration up in the vocabulary.
    pub(super) fn new(configuration: &Configuration, bpe: &Bpe) -> Result<Self> {
        let mut added = added_tokens(&configuration.config, bpe)?;
        let declared = added.len();
        let mut named = |field: &str, default: &str| -> Result<u32> {
            let (content, normalized, section) = configuration.named(field, default)?;
            let known = added.iter_mut().enumerate().find(|(_, token)| token.content == content);
            if let Some((at, token)) = known {
                // The last one named decides how a token is matched, unless `added_tokens_decoder` does.
                if at >= declared {
                    token.normalized = normalized;
                }
                return Ok(token.id);
            }
            let missing = || section.error(field, format!("token {content:?} is not in the vocabulary"));
            let id = bpe.find(&content).ok_or_else(missing)?;
            added.push(AddedToken { content, id, normalized });
            Ok(id)
        };
        let start = named("bos_token", START_OF_TEXT)?;
        let end = named("eos_token", END_OF_TEXT)?;
        named("unk_token", END_OF_TEXT)?;
        let pad = named("pad_token", END_OF_TEXT)?;
        for token in added.iter_mut().filter(|token| token.normalized) {
            token.content = normalize(&token.content);
        }
        Ok(Self { start, end, pad, added })
    }

    /// Cuts text at the special tokens that are matched before normalisation, or at those matched after it.
    /// Of several that start at one place the longest counts.
    pub(super) fn split<'a>(&self, text: &'a str, normalized: bool) -> Vec<Piece<'a>> {
        let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
        while let Some(c) = text[at..].chars().next() {
            let here = |token: &&AddedToken| token.normalized == normalized && text[at..].starts_with(&token.content);
            let Some(token) = self.added.iter().filter(here).max_by_key(|token| token.content.len()) else {
                at += c.len_utf8();
                continue;
            };
            pieces.push(Piece::Text(&text[start..at]));
            pieces.push(Piece::Token(token.id));
            at += token.content.len();
            start = at;
        }
        pieces.push(Piece::Text(&text[start..]));
        pieces.retain(|piece| *piece != Piece::Text(""));
        pieces
    }

    /// The text of an added token.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.added.iter().find(|token| token.id == id).map(|token| token.content.as_str())
    }
}

/// `added_tokens_decoder`: ids and tokens. Ids after the vocabulary must follow it without much of a gap.
fn added_tokens(config: &Section, bpe: &Bpe) -> Result<Vec<AddedToken>> {
    const FIELD: &str = "added_tokens_decoder";
    let Some(value) = config.get(FIELD) else { return Ok(Vec::new()) };
    let tokens = value.as_object().ok_or_else(|| config.error(FIELD, "expected an object of ids and tokens"))?;
    if tokens.len() > ADDED_MAX {
        return Err(config.error(FIELD, format!("expected at most {ADDED_MAX} tokens, got {}", tokens.len())));
    }
    let limit = bpe.len() + tokens.len();
    let added = tokens.iter().map(|(key, value)| {
        let (content, normalized) = config.token(FIELD, value)?;
        let id = key.parse().ok().filter(|&id: &u32| (id as usize) < limit);
        let id = id.ok_or_else(|| config.error(FIELD, format!("expected an id below {limit}, got {key:?}")))?;
        Ok(AddedToken { id: bpe.find(&content).unwrap_or(id), content, normalized })
    });
    added.collect()
}

#[cfg(test)]
mod tests {
    use crate::text::{ClipTokenizer, Tokenizer, TokenizerFiles};
    use serde_json::{Value, json};

    const END: u32 = 513;

    /// A vocabulary of 512 bytes and the two special tokens.
    fn tokenizer(map: Value, config: Value) -> crate::Result<ClipTokenizer> {
        let [map, config] = [map, config].map(|value| value.to_string().into_bytes());
        let files = TokenizerFiles {
            folder: "t",
            merges: b"#version: 0.2\n",
            vocab: None,
            special_tokens_map: Some(&map),
            tokenizer_config: Some(&config),
        };
        ClipTokenizer::from_files(&files, 77)
    }

    fn refused(map: Value, config: Value) -> String {
        tokenizer(map, config).unwrap_err().to_string()
    }

    fn pad(map: Value, config: Value) -> u32 {
        tokenizer(map, config).unwrap().frame().pad
    }

    #[test]
    fn the_map_wins_over_the_configuration() {
        let [bang, end] = [json!({"pad_token": "!"}), json!({"pad_token": {"content": "<|endoftext|>"}})];
        assert_eq!(pad(bang.clone(), end.clone()), 0);
        assert_eq!(pad(end.clone(), bang.clone()), END);
        assert_eq!(pad(json!({}), bang.clone()), 0);
        assert_eq!(pad(json!({"pad_token": null}), bang), 0);
        assert_eq!(pad(json!({}), json!({})), END);
        let newer = json!({"added_tokens_decoder": {}, "pad_token": "<|endoftext|>"});
        assert_eq!(pad(json!({"pad_token": "!"}), newer), END);
    }

    #[test]
    fn special_tokens_are_found_inside_words() {
        let tokenizer = tokenizer(json!({"pad_token": "!"}), json!({})).unwrap();
        assert_eq!(tokenizer.tokenize("a!!b").unwrap(), [256 + 64, 0, 0, 256 + 65]);
        assert_eq!(tokenizer.tokenize("a<|endoftext|>").unwrap(), [256 + 64, END]);
    }

    #[test]
    fn only_normalised_tokens_are_found_in_capitals() {
        let count = |normalized: bool| {
            let token = json!({"content": "<|endoftext|>", "normalized": normalized});
            let map = json!({"eos_token": token, "unk_token": token, "pad_token": token});
            tokenizer(map, json!({})).unwrap().tokenize("<|EndOfText|>").unwrap().len()
        };
        assert_eq!([count(true), count(false)], [1, "<|endoftext|>".len()]);
    }

    #[test]
    fn added_tokens_follow_the_vocabulary_and_the_longest_counts() {
        let token = |content: &str| json!({"content": content, "normalized": false});
        let decoder = json!({"514": token("<cat>"), "515": token("<cat>s"), "0": token("!")});
        let tokenizer = tokenizer(json!({}), json!({ "added_tokens_decoder": decoder })).unwrap();
        assert_eq!(tokenizer.tokenize("<cat><cat>s!").unwrap(), [514, 515, 0]);
        assert_eq!(tokenizer.decode(&[514, 515]), "<cat><cat>s");
    }

    #[test]
    fn windows_are_as_long_as_the_configuration_and_the_positions_allow() {
        let length = |config| tokenizer(json!({}), config).unwrap().frame().length;
        assert_eq!(length(json!({})), 77);
        assert_eq!(length(json!({"model_max_length": 32})), 32);
        assert_eq!(length(json!({"model_max_length": 1e30})), 77);
    }

    #[test]
    fn configurations_that_do_not_fit_are_refused() {
        let token = |value: Value| refused(json!({ "pad_token": value }), json!({}));
        let prefix = "t/special_tokens_map.json: field pad_token: ";
        assert_eq!(token(json!(7)), format!("{prefix}expected the text of a token, got 7"));
        assert_eq!(token(json!("")), format!("{prefix}expected the text of a token, got \"\""));
        assert_eq!(token(json!("<pad>")), format!("{prefix}token \"<pad>\" is not in the vocabulary"));
        let single = json!({"content": "!", "single_word": true});
        assert_eq!(token(single), format!("{prefix}single_word true is not supported"));

        let config = |value: Value| refused(json!({}), value);
        let prefix = "t/tokenizer_config.json: field ";
        let length = format!("{prefix}model_max_length: expected a number of tokens from 3, got ");
        assert_eq!(config(json!({"model_max_length": 2})), format!("{length}2"));
        assert_eq!(config(json!({"model_max_length": "x"})), format!("{length}\"x\""));
        let prefix = format!("{prefix}added_tokens_decoder: ");
        assert_eq!(config(json!({"added_tokens_decoder": 1})), format!("{prefix}expected an object of ids and tokens"));
        let far = json!({"added_tokens_decoder": {"515": "x"}});
        assert_eq!(config(far), format!("{prefix}expected an id below 515, got \"515\""));
        let many: serde_json::Map<_, _> = (0..1025).map(|id| (id.to_string(), json!("x"))).collect();
        assert_eq!(
            config(json!({ "added_tokens_decoder": many })),
            format!("{prefix}expected at most 1024 tokens, got 1025")
        );
        assert!(config(json!([])).starts_with("t/tokenizer_config.json: expected an object of settings: invalid type"));
    }
}
