//! Added tokens: the lists in a tokenizer's files, and the named tokens (start, end, unknown, padding). All of them are
//! recognised inside a prompt.

use super::configuration::{Configuration, Section};
use super::encoder::Vocabulary;
use super::steps::Normalizers;
use crate::Result;
use serde_json::Value;
use tokenizers::{AddedToken, AddedVocabulary};

/// The largest number of added tokens.
pub(super) const ADDED_MAX: usize = 1024;

/// An added token and its id in the file.
pub(super) struct Listed {
    pub(super) id: u32,
    pub(super) token: AddedToken,
}

/// The named tokens of a family, for files that do not name them.
pub(super) struct Names {
    pub(super) start: Option<&'static str>,
    pub(super) end: Option<&'static str>,
    pub(super) unknown: Option<&'static str>,
    pub(super) pad: Option<&'static str>,
}

/// The added tokens of one tokenizer.
pub(super) struct SpecialTokens {
    pub(super) added: AddedVocabulary,
    pub(super) start: Option<u32>,
    pub(super) end: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl SpecialTokens {
    /// Collects the tokens in the list of `tokenizer.json` (`listed`), in the list of `tokenizer_config.json`, and the
    /// named ones. A named token must be in the vocabulary or in a list.
    pub(super) fn read(
        configuration: &Configuration,
        mut listed: Vec<Listed>,
        names: &Names,
        vocabulary: &Vocabulary,
        normalizers: &Normalizers,
    ) -> Result<Self> {
        let more = added_tokens_decoder(&configuration.config, vocabulary.len() + listed.len())?;
        let is_new = |more: &Listed| listed.iter().all(|listed| listed.token.content != more.token.content);
        let more: Vec<_> = more.into_iter().filter(is_new).collect();
        listed.extend(more);
        // Tokens missing from the vocabulary get the ids after it, in this order.
        listed.sort_by_key(|listed| listed.id);

        let mut tokens = Tokens { configuration, vocabulary, listed: listed.len(), tokens: Vec::new() };
        tokens.tokens.extend(listed.into_iter().map(|listed| listed.token));
        let start = tokens.name("bos_token", names.start)?;
        let end = tokens.name("eos_token", names.end)?;
        tokens.name("unk_token", names.unknown)?;
        let pad = tokens.name("pad_token", names.pad)?;

        let added = add(tokens.tokens, vocabulary, normalizers);
        let added = added.map_err(|error| configuration.config.error("added_tokens_decoder", error.to_string()))?;
        let id = |content: Option<String>| {
            let content = content?;
            added.get_vocab().get(&content).copied().or_else(|| vocabulary.id(&content))
        };
        let start = id(start);
        let end = id(end);
        let pad = id(pad);
        Ok(Self { added, start, end, pad })
    }
}

/// Added tokens while they are collected.
struct Tokens<'a> {
    configuration: &'a Configuration,
    vocabulary: &'a Vocabulary,
    tokens: Vec<AddedToken>,
    /// How many of the first ones come from lists.
    listed: usize,
}

impl Tokens<'_> {
    /// Adds a named token, and returns its text.
    fn name(&mut self, field: &str, default: Option<&str>) -> Result<Option<String>> {
        let (section, token) = match (self.configuration.named(field), default) {
            (Some((section, value)), _) => (section, section.token(field, value)?),
            (None, Some(default)) => {
                let section = &self.configuration.config;
                (section, section.token(field, &Value::from(default))?)
            }
            (None, None) => return Ok(None),
        };
        let content = token.content.clone();
        let known = self.tokens.iter().position(|known| known.content == content);
        match known {
            Some(at) if at < self.listed => {}
            // The last name decides how a token is matched, unless a list does.
            Some(at) => self.tokens[at] = token,
            None if self.vocabulary.id(&content).is_some() => self.tokens.push(token),
            None => return Err(section.error(field, format!("token {content:?} is not in the vocabulary"))),
        }
        Ok(Some(content))
    }
}

fn add(
    tokens: Vec<AddedToken>,
    vocabulary: &Vocabulary,
    normalizers: &Normalizers,
) -> tokenizers::Result<AddedVocabulary> {
    let mut added = AddedVocabulary::new();
    match vocabulary {
        Vocabulary::Bpe(bpe) => added.add_tokens(tokens, &**bpe, Some(normalizers))?,
        Vocabulary::Unigram(unigram) => added.add_tokens(tokens, &**unigram, Some(normalizers))?,
    };
    Ok(added)
}

/// `added_tokens_decoder`: ids and tokens. Ids must follow the `known` ones without a large gap.
fn added_tokens_decoder(config: &Section, known: usize) -> Result<Vec<Listed>> {
    const FIELD: &str = "added_tokens_decoder";
    let Some(value) = config.get(FIELD) else { return Ok(Vec::new()) };
    let tokens = value.as_object().ok_or_else(|| config.error(FIELD, "expected an object of ids and tokens"))?;
    check_count(tokens.len()).map_err(|reason| config.error(FIELD, reason))?;
    let limit = known + tokens.len();
    let listed = tokens.iter().map(|(key, value)| {
        let token = config.token(FIELD, value)?;
        let id = key.parse().ok().filter(|&id: &u32| (id as usize) < limit);
        let id = id.ok_or_else(|| config.error(FIELD, format!("expected an id below {limit}, got {key:?}")))?;
        Ok(Listed { id, token })
    });
    listed.collect()
}

/// `added_tokens` of `tokenizer.json`.
pub(super) fn added_tokens(file: &Section, tokens: &[Value], known: usize) -> Result<Vec<Listed>> {
    const FIELD: &str = "added_tokens";
    check_count(tokens.len()).map_err(|reason| file.error(FIELD, reason))?;
    let limit = known + tokens.len();
    let listed = tokens.iter().map(|value| {
        let token = file.token(FIELD, value)?;
        let id = value.get("id").and_then(Value::as_u64).filter(|&id| id < limit as u64);
        let id =
            id.ok_or_else(|| file.error(FIELD, format!("expected an id below {limit} for {:?}", token.content)))?;
        Ok(Listed { id: id as u32, token })
    });
    listed.collect()
}

fn check_count(count: usize) -> Result<(), String> {
    if count > ADDED_MAX { Err(format!("expected at most {ADDED_MAX} tokens, got {count}")) } else { Ok(()) }
}
#[cfg(test)]
mod tests {
    use crate::text::{Tokenizer, TokenizerFiles};
    use serde_json::{Value, json};

    const END: u32 = 513;

    /// A vocabulary of 512 bytes and the two special tokens.
    fn tokenizer(map: Value, config: Value) -> crate::Result<Tokenizer> {
        let [map, config] = [map, config].map(|value| value.to_string().into_bytes());
        let files = TokenizerFiles {
            folder: "t",
            merges: Some(b"#version: 0.2\n"),
            special_tokens_map: Some(&map),
            tokenizer_config: Some(&config),
            ..TokenizerFiles::default()
        };
        Tokenizer::from_files(&files, 77)
    }

    fn refused(map: Value, config: Value) -> String {
        tokenizer(map, config).unwrap_err().to_string()
    }

    fn pad(map: Value, config: Value) -> u32 {
        tokenizer(map, config).unwrap().frame().pad
    }

    #[test]
    fn the_map_takes_precedence_over_the_configuration() {
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
    fn only_normalised_tokens_are_found_in_upper_case() {
        let count = |normalized: bool| {
            let token = json!({"content": "<|endoftext|>", "normalized": normalized});
            let map = json!({"eos_token": token, "unk_token": token, "pad_token": token});
            tokenizer(map, json!({})).unwrap().tokenize("<|EndOfText|>").unwrap().len()
        };
        assert_eq!([count(true), count(false)], [1, "<|endoftext|>".len()]);
    }

    #[test]
    fn added_tokens_follow_the_vocabulary_and_the_longest_matches() {
        let token = |content: &str| json!({"content": content, "normalized": false});
        let decoder = json!({"514": token("<cat>"), "515": token("<cat>s"), "0": token("!")});
        let tokenizer = tokenizer(json!({}), json!({ "added_tokens_decoder": decoder })).unwrap();
        assert_eq!(tokenizer.tokenize("<cat><cat>s!").unwrap(), [514, 515, 0]);
        assert_eq!(tokenizer.decode(&[514, 515]), "<cat><cat>s");
    }

    #[test]
    fn tokens_may_require_word_boundaries_and_swallow_spaces() {
        let rules = |rule: &str| json!({"514": {"content": "x", rule: true}});
        let ids = |rule: &str, text: &str| {
            let config = json!({ "added_tokens_decoder": rules(rule) });
            tokenizer(json!({}), config).unwrap().tokenize(text).unwrap()
        };
        let x = 87;
        assert_eq!(ids("lstrip", "a x x"), [256 + 64, x, x]);
        assert_eq!(ids("single_word", "x x"), [x, x]);
        assert_eq!(ids("single_word", "xx"), [x, 256 + x]);
    }

    #[test]
    fn window_length_is_limited_by_configuration_and_positions() {
        let length = |config| tokenizer(json!({}), config).unwrap().frame().length;
        assert_eq!(length(json!({})), 77);
        assert_eq!(length(json!({"model_max_length": 32})), 32);
        assert_eq!(length(json!({"model_max_length": 1e30})), 77);
    }

    #[test]
    fn invalid_configurations_are_refused() {
        let token = |value: Value| refused(json!({ "pad_token": value }), json!({}));
        let prefix = "t/special_tokens_map.json: field pad_token: ";
        assert_eq!(token(json!(7)), format!("{prefix}expected the text of a token, got 7"));
        assert_eq!(token(json!("")), format!("{prefix}expected the text of a token, got \"\""));
        assert_eq!(token(json!("<pad>")), format!("{prefix}token \"<pad>\" is not in the vocabulary"));

        let config = |value: Value| refused(json!({}), value);
        let prefix = "t/tokenizer_config.json: field ";
        let length = format!("{prefix}model_max_length: expected at least 3 tokens, got ");
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
