//! `tokenizer.json`, the file in which Hugging Face's `tokenizers` saves a whole tokenizer: stages, vocabulary and
//! added tokens (<https://huggingface.co/docs/tokenizers/components>).
//!
//! T5 (a unigram model) and Qwen (byte-pair encoding) are read from this file alone; CLIP may have it too. The special
//! tokens around a prompt come from its post-processor. Its settings for truncation and padding are ignored, because
//! windows do both.

use super::configuration::Section;
use super::encoder::Vocabulary;
use super::post_processor;
use super::special::{self, Names};
use super::steps::{Normalizers, PreTokenizers};
use super::tokenizer::Parts;
use super::vocabulary::{self, Merge, Merges, excerpt, split_merge};
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::models::unigram::Unigram;

/// The fields of the file that are read.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(default)]
    padding: Value,
    #[serde(default)]
    added_tokens: Vec<Value>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    /// Large, so it is parsed once its kind is known.
    #[serde(borrow)]
    model: &'a RawValue,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct BpeModel {
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Vocab,
    merges: Vec<WrittenMerge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenMerge {
    Pair(String, String),
    /// With a space between the two, as in older files.
    Joined(String),
}

#[derive(Deserialize)]
struct UnigramModel {
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
    vocab: Vec<(String, f64)>,
}

/// Reads a `tokenizer.json`; errors call it `name`.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Parts> {
    let file: File<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Error::format(name, format!("expected a tokenizer with a model: {error}")))?;
    let kind: Kind = model_as(name, file.model)?;
    let vocabulary = match kind.kind.as_str() {
        "BPE" => read_bpe(name, model_as(name, file.model)?)?,
        "Unigram" => read_unigram(name, model_as(name, file.model)?)?,
        other => return Err(config(name, "model", format!("type {other} is not supported, expected BPE or Unigram"))),
    };
    let section = Section::new(name, Map::new());
    let added = special::added_tokens(&section, &file.added_tokens, vocabulary.len())?;
    let pad = file.padding.get("pad_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    Ok(Parts {
        normalizers: Normalizers::read(name, &file.normalizer)?,
        pre_tokenizers: PreTokenizers::read(name, &file.pre_tokenizer)?,
        around: Some(
            post_processor::read(&file.post_processor).map_err(|reason| config(name, "post_processor", reason))?,
        ),
        vocabulary,
        added,
        names: Names { start: None, end: None, unknown: None, pad: None },
        pad,
    })
}

fn config(file: &str, field: &str, reason: impl Into<String>) -> Error {
    Error::Config { file: file.to_owned(), field: field.to_owned(), reason: reason.into() }
}

fn model_as<T: DeserializeOwned>(name: &str, model: &RawValue) -> Result<T> {
    serde_json::from_str(model.get()).map_err(|error| config(name, "model", error.to_string()))
}

fn read_bpe(name: &str, model: BpeModel) -> Result<Vocabulary> {
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(config(name, "model.dropout", "expected none: ids would be random"));
    }
    if model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Err(config(name, "model.continuing_subword_prefix", "not supported, expected none"));
    }
    let mut list = Vec::with_capacity(model.merges.len());
    for (place, merge) in model.merges.iter().enumerate() {
        let (left, right) = match merge {
            WrittenMerge::Pair(left, right) => (left.as_str(), right.as_str()),
            WrittenMerge::Joined(merge) => split_merge(merge).ok_or_else(|| {
                let reason = format!("merge {place}: expected two tokens, got {:?}", excerpt(merge));
                Error::format(name, reason)
            })?,
        };
        list.push(Merge { place, left, right });
    }
    let mut builder = BpeBuilder::new().fuse_unk(model.fuse_unk).byte_fallback(model.byte_fallback);
    builder = builder.ignore_merges(model.ignore_merges);
    if let Some(unknown) = model.unk_token {
        if !model.vocab.contains_key(&unknown) {
            return Err(config(name, "model.unk_token", format!("token {unknown:?} is not in the vocabulary")));
        }
        builder = builder.unk_token(unknown);
    }
    if let Some(suffix) = model.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    let merges = Merges { file: name, unit: "merge", list };
    Ok(Vocabulary::Bpe(Arc::new(vocabulary::build(builder, name, model.vocab, &merges)?)))
}

fn read_unigram(name: &str, model: UnigramModel) -> Result<Vocabulary> {
    if model.unk_id.is_none_or(|id| id >= model.vocab.len()) {
        let reason = format!("expected an id below {}, the size of the vocabulary", model.vocab.len());
        return Err(config(name, "model.unk_id", reason));
    }
    let unigram = Unigram::from(model.vocab, model.unk_id, model.byte_fallback);
    let mut unigram = unigram.map_err(|error| config(name, "model", error.to_string()))?;
    unigram.resize_cache(0);
    Ok(Vocabulary::Unigram(Arc::new(unigram)))
}

#[cfg(test)]
mod tests {
    use crate::text::{Frame, Tokenizer, TokenizerFiles};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn open(document: &str, config: &Value) -> crate::Result<Tokenizer> {
        let config = config.to_string().into_bytes();
        let files = TokenizerFiles {
            folder: "t",
            tokenizer_json: Some(document.as_bytes()),
            tokenizer_config: Some(&config),
            ..TokenizerFiles::default()
        };
        Tokenizer::from_files(&files, 8)
    }

    fn tokenizer(document: &Value) -> crate::Result<Tokenizer> {
        open(&document.to_string(), &json!({}))
    }

    fn refused(document: &Value) -> String {
        tokenizer(document).unwrap_err().to_string()
    }

    /// Like T5's, with five tokens.
    fn unigram() -> Value {
        json!({
            "added_tokens": [{"id": 1, "content": "</s>", "normalized": false, "special": true}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
            ]},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
            },
            "model": {"type": "Unigram", "unk_id": 2, "vocab": [
                ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.0], ["b", -2.0], ["ab", -1.5], ["▁", -3.0],
            ]},
        })
    }

    /// Like Qwen's, with four tokens and one added.
    fn bpe() -> Value {
        json!({
            "added_tokens": [{"id": 4, "content": "<end>", "special": true}],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": r" ?\p{L}+|\s+"}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            ]},
            "post_processor": {"type": "ByteLevel", "trim_offsets": false},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]},
        })
    }

    fn changed(mut document: Value, pointer: &str, value: Value) -> Value {
        *document.pointer_mut(pointer).unwrap() = value;
        document
    }

    #[test]
    fn a_unigram_model_takes_the_likeliest_tokens_and_adds_an_end() {
        let tokenizer = open(&unigram().to_string(), &json!({"pad_token": "<pad>"})).unwrap();
        assert_eq!(tokenizer.frame(), Frame { start: None, end: Some(1), pad: 0, length: 8 });
        assert_eq!(tokenizer.encode("AB  b☺").unwrap().ids, [3, 4, 6, 4, 2, 1, 0, 0]);
        assert_eq!(tokenizer.tokenize("a</s>b").unwrap(), [3, 1, 6, 4]);
        assert_eq!(tokenizer.decode(&[3, 4, 6, 4, 2, 1, 99]), "ab b<unk></s>");
    }

    #[test]
    fn byte_pairs_get_the_post_processors_tokens_around_them() {
        let tokenizer = open(&bpe().to_string(), &json!({"eos_token": "<end>", "pad_token": "<end>"})).unwrap();
        assert_eq!(tokenizer.frame(), Frame { start: None, end: None, pad: 4, length: 8 });
        assert_eq!(tokenizer.encode("ab ba<end>").unwrap().ids, [2, 3, 1, 0, 4, 4, 4, 4]);
        assert_eq!(tokenizer.decode(&[2, 3, 1, 0, 4]), "ab ba<end>");
        let pairs = changed(bpe(), "/model/merges", json!([["a", "b"]]));
        let roberta = json!({"type": "RobertaProcessing", "cls": ["a", 0], "sep": ["b", 1]});
        let tokenizer = self::tokenizer(&changed(pairs, "/post_processor", roberta)).unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap().ids, [0, 2, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn padding_comes_from_the_file_if_no_token_is_named() {
        let mut document = bpe();
        let prefix = "t/tokenizer_config.json: field pad_token: ";
        let reason = "expected the text of a token, because nothing else defines the padding";
        assert_eq!(refused(&document), format!("{prefix}{reason}"));
        document["padding"] = json!({"pad_id": 3});
        assert_eq!(tokenizer(&document).unwrap().frame().pad, 3);
    }

    #[test]
    fn damaged_files_are_refused() {
        let error = open("{", &json!({})).unwrap_err().to_string();
        assert!(error.starts_with("t/tokenizer.json: expected a tokenizer with a model: EOF"), "{error}");
        assert!(refused(&json!({})).starts_with("t/tokenizer.json: expected a tokenizer with a model: missing field"));
        let error = refused(&json!({"model": {}}));
        assert_eq!(error, "t/tokenizer.json: field model: missing field `type` at line 1 column 2");
        let none = Tokenizer::from_files(&TokenizerFiles { folder: "t", ..TokenizerFiles::default() }, 77).unwrap_err();
        assert_eq!(none.to_string(), "t: no tokenizer.json and no merges.txt, expected one of them");
    }

    #[test]
    fn unsupported_models_are_refused() {
        let model = |pointer: &str, value: Value| refused(&changed(bpe(), &format!("/model/{pointer}"), value));
        assert_eq!(
            model("type", json!("WordPiece")),
            "t/tokenizer.json: field model: type WordPiece is not supported, expected BPE or Unigram"
        );
        assert_eq!(model("merges", json!(["ab"])), "t/tokenizer.json: merge 0: expected two tokens, got \"ab\"");
        let missing = "t/tokenizer.json: merge 0: token \"aab\" is not in the vocabulary";
        assert_eq!(model("merges", json!([["a", "ab"]])), missing);
        assert_eq!(model("vocab/b", json!(7)), "t/tokenizer.json: token \"b\" has id 7, expected one below 4");
        let with = |field: &str, value: Value| {
            let mut document = bpe();
            document["model"][field] = value;
            refused(&document)
        };
        assert_eq!(
            with("dropout", json!(0.1)),
            "t/tokenizer.json: field model.dropout: expected none: ids would be random"
        );
        assert_eq!(
            with("continuing_subword_prefix", json!("##")),
            "t/tokenizer.json: field model.continuing_subword_prefix: not supported, expected none"
        );
        assert_eq!(
            with("unk_token", json!("?")),
            "t/tokenizer.json: field model.unk_token: token \"?\" is not in the vocabulary"
        );
        for id in [json!(null), json!(7)] {
            assert_eq!(
                refused(&changed(unigram(), "/model/unk_id", id)),
                "t/tokenizer.json: field model.unk_id: expected an id below 7, the size of the vocabulary"
            );
        }
    }

    #[test]
    fn unknown_stages_are_refused() {
        let stage = |pointer: &str, value: Value| refused(&changed(unigram(), pointer, value));
        let prefix = "t/tokenizer.json: field normalizer: ";
        assert_eq!(stage("/normalizer", json!({"type": "Bert"})), format!("{prefix}type Bert is not supported"));
        assert_eq!(stage("/normalizer", json!(1)), format!("{prefix}expected an object with a type"));
        let list = json!({"type": "Sequence"});
        assert_eq!(stage("/normalizer", list), format!("{prefix}expected a list \"normalizers\" in a Sequence"));
        let replace = json!({"type": "Replace", "content": ""});
        assert_eq!(stage("/normalizer", replace), format!("{prefix}missing field `pattern`"));
        let table = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
        let damaged = "precompiled_charsmap: damaged, expected a sentencepiece table";
        assert_eq!(stage("/normalizer", table), format!("{prefix}{damaged}"));
        let prefix = "t/tokenizer.json: field pre_tokenizer: ";
        assert_eq!(stage("/pre_tokenizer", json!({"type": "Digits"})), format!("{prefix}type Digits is not supported"));
        let pattern = json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false});
        assert!(stage("/pre_tokenizer", pattern).starts_with(prefix));
        let prefix = "t/tokenizer.json: field post_processor: ";
        let many = json!([{"SpecialToken": {"id": "</s>"}}, {"SpecialToken": {"id": "</s>"}}]);
        let one = "expected at most one token before and after the text";
        assert_eq!(stage("/post_processor/single", many), format!("{prefix}{one}"));
        let ids = stage("/post_processor/special_tokens", json!({}));
        assert_eq!(ids, format!("{prefix}expected one id for the special token \"</s>\""));
        let far = stage("/added_tokens/0/id", json!(8));
        assert_eq!(far, "t/tokenizer.json: field added_tokens: expected an id below 8 for \"</s>\"");
    }

    /// The JSON pointers to all values in a document.
    fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.replace('/', "~1"), value)).collect(),
            Value::Array(values) => {
                values.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (name, child) in children {
            pointers(child, format!("{at}/{name}"), all);
        }
        all.push(at);
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            Just(json!([])),
            Just(json!({})),
            Just(json!(true)),
            (-2_i64..9).prop_map(|number| json!(number)),
            ".{0,3}".prop_map(|text| json!(text)),
            "[▁a-b(|*]{0,3}".prop_map(|text| json!(text)),
        ]
    }

    proptest! {
        #[test]
        fn any_change_of_a_file_is_read_or_refused(
            is_bpe in any::<bool>(),
            place in any::<prop::sample::Index>(),
            value in value(),
            text in ".{0,20}",
        ) {
            let mut document = if is_bpe { bpe() } else { unigram() };
            let mut places = Vec::new();
            pointers(&document, String::new(), &mut places);
            let place = &places[place.index(places.len())];
            *document.pointer_mut(place).unwrap() = value;
            if let Ok(tokenizer) = open(&document.to_string(), &json!({"pad_token": "a"})) {
                let ids = tokenizer.tokenize(&format!("{text} ab</s>")).unwrap_or_default();
                _ = tokenizer.decode(&ids);
            }
        }
    }
}
