//! Runs the cases of a tokenizer folder: prompts and their ids in transformers.

use crate::Check;
use anyhow::{Context, Result, ensure};
use easel_inference::text::{Tokenizer, TokenizerFiles};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// Longer than any prompt of the cases, for ids that are neither padded nor truncated.
const UNLIMITED: usize = 1 << 20;

/// The files of a tokenizer folder in memory.
#[derive(Clone)]
pub struct Folder {
    tokenizer_json: Option<Vec<u8>>,
    merges: Option<Vec<u8>>,
    vocab: Option<Vec<u8>>,
    special_tokens_map: Value,
    tokenizer_config: Value,
}

impl Folder {
    /// Reads `tokenizer.json`, `merges.txt`, `vocab.json` (each possibly as `.gz`) and the two configuration files.
    pub fn read(dir: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Value> {
            let bytes = read(dir, name)?.unwrap_or_else(|| b"{}".to_vec());
            serde_json::from_slice(&bytes).with_context(|| name.to_owned())
        };
        Ok(Self {
            tokenizer_json: read(dir, "tokenizer.json")?,
            merges: read(dir, "merges.txt")?,
            vocab: read(dir, "vocab.json")?,
            special_tokens_map: json("special_tokens_map.json")?,
            tokenizer_config: json("tokenizer_config.json")?,
        })
    }

    /// The same folder with another padding token.
    pub fn with_pad_token(mut self, token: &str) -> Self {
        self.special_tokens_map["pad_token"] = token.into();
        self.tokenizer_config["pad_token"] = token.into();
        self
    }

    /// The same folder without `vocab.json`.
    pub fn without_vocab(mut self) -> Self {
        self.vocab = None;
        self
    }

    /// The same folder with a changed `tokenizer.json`.
    pub fn with_tokenizer_json(mut self, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let mut document = match &self.tokenizer_json {
            Some(bytes) => serde_json::from_slice(bytes)?,
            None => Value::Null,
        };
        change(&mut document);
        self.tokenizer_json = Some(serde_json::to_vec(&document)?);
        Ok(self)
    }

    /// CLIP's folder with its vocabulary in a `tokenizer.json`, as written by transformers.
    pub fn clip_as_tokenizer_json(self) -> Result<Self> {
        let vocab: Value = serde_json::from_slice(self.vocab.as_deref().context("no vocab.json")?)?;
        let merges = String::from_utf8(self.merges.clone().context("no merges.txt")?)?;
        let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
        let pattern = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
        let white_space = json!({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "});
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": true});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let document = json!({
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, white_space, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
            "post_processor": {
                "type": "RobertaProcessing",
                "sep": ["<|endoftext|>", vocab["<|endoftext|>"]],
                "cls": ["<|startoftext|>", vocab["<|startoftext|>"]],
                "trim_offsets": false,
                "add_prefix_space": false,
            },
            "decoder": bytes,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": "<|endoftext|>",
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>",
                "fuse_unk": false,
                "vocab": vocab,
                "merges": merges,
            },
        });
        let mut folder = self.with_tokenizer_json(|value| *value = document)?;
        folder.merges = None;
        folder.vocab = None;
        Ok(folder)
    }

    /// The tokenizer, with windows of `model_max_length` tokens.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let map = serde_json::to_vec(&self.special_tokens_map)?;
        let config = serde_json::to_vec(&self.tokenizer_config)?;
        let files = TokenizerFiles {
            folder: "tokenizer",
            tokenizer_json: self.tokenizer_json.as_deref(),
            merges: self.merges.as_deref(),
            vocab: self.vocab.as_deref(),
            special_tokens_map: Some(&map),
            tokenizer_config: Some(&config),
        };
        Ok(Tokenizer::from_files(&files, UNLIMITED)?)
    }
}

/// Reads a file, or unpacks its `.gz`; `None` if there is neither.
fn read(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let packed = dir.join(format!("{name}.gz"));
    if packed.is_file() {
        let file = std::fs::File::open(&packed).with_context(|| packed.display().to_string())?;
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).with_context(|| packed.display().to_string())?;
        return Ok(Some(bytes));
    }
    let plain = dir.join(name);
    if plain.is_file() { Ok(Some(std::fs::read(plain)?)) } else { Ok(None) }
}

/// Runs every case of the folder. The error is the number of differing ids, which must be 0.
pub fn run(dir: &Path) -> Result<Vec<Check>> {
    let folder = Folder::read(dir)?;
    if folder.tokenizer_json.is_some() && folder.merges.is_none() {
        return run_t5(&folder, &Cases::read(dir)?);
    }
    run_clip(&folder, &Cases::read(dir)?)
}

/// Runs CLIP's cases with another form of their folder.
pub fn run_clip(folder: &Folder, cases: &Cases) -> Result<Vec<Check>> {
    let plain = folder.tokenizer()?;
    let bang = folder.clone().with_pad_token("!").tokenizer()?;
    let mut checks = Vec::new();
    for case in &cases.0 {
        checks.push(case.compare("ids", framed(&plain, &case.prompt)?)?);
        let field = if case.ids("ids_pad_bang").is_ok() { "ids_pad_bang" } else { "ids" };
        checks.push(case.compare(field, framed(&bang, &case.prompt)?)?);
        checks.push(case.compare_padded("padded", &plain)?);
        checks.push(case.compare_padded("padded with !", &bang)?);
        if case.ids("ids_77").is_ok() {
            checks.push(case.compare("ids_77", plain.encode(&case.prompt)?.ids)?);
        }
    }
    Ok(checks)
}

/// Runs T5's cases, also with the stages written by transformers since 4.39.
fn run_t5(folder: &Folder, cases: &Cases) -> Result<Vec<Check>> {
    let folder = folder.clone().with_pad_token("<pad>");
    let plain = folder.tokenizer()?;
    let mut short = folder.clone();
    short.tokenizer_config["model_max_length"] = 16.into();
    let short = short.tokenizer()?;
    let newer = folder.with_tokenizer_json(|document| {
        let table = document["normalizer"].take();
        let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
        let blanks = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"});
        document["normalizer"] = json!({"type": "Sequence", "normalizers": [table, strip, blanks]});
        document["pre_tokenizer"] =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    })?;
    let newer = newer.tokenizer()?;
    let mut checks = Vec::new();
    for case in &cases.0 {
        checks.push(case.compare("ids", framed(&plain, &case.prompt)?)?);
        let field = if case.ids("ids_new_form").is_ok() { "ids_new_form" } else { "ids" };
        checks.push(case.compare(field, framed(&newer, &case.prompt)?)?);
        checks.push(case.compare_padded("padded", &short)?);
    }
    Ok(checks)
}

/// The cases of a folder.
pub struct Cases(Vec<Case>);

struct Case {
    name: String,
    prompt: String,
    fields: Value,
}

impl Cases {
    /// Reads `cases.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("cases.json");
        let file: Value = serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
        let list = file["cases"].as_array().context("cases.json has no cases")?;
        ensure!(!list.is_empty(), "{}: no cases", dir.display());
        let folder = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
        let cases = list.iter().enumerate().map(|(index, case)| {
            let prompt = case["prompt"].as_str().with_context(|| format!("case {index} has no prompt"))?.to_owned();
            let name = format!("{folder}/{index} {}", excerpt(&prompt));
            Ok(Case { name, prompt, fields: case.clone() })
        });
        Ok(Self(cases.collect::<Result<_>>()?))
    }
}

impl Case {
    fn ids(&self, field: &str) -> Result<Vec<u32>> {
        let ids = self.fields[field].as_array().with_context(|| format!("{}: no {field}", self.name))?;
        let ids = ids.iter().map(|id| u32::try_from(id.as_u64()?).ok());
        ids.collect::<Option<_>>().with_context(|| format!("{}: {field} contains a value that is not an id", self.name))
    }

    fn compare(&self, field: &str, got: Vec<u32>) -> Result<Check> {
        Ok(self.check(field, differing(&got, &self.ids(field)?)))
    }

    /// Compares the window of the prompt with the one expected from its ids.
    fn compare_padded(&self, field: &str, tokenizer: &Tokenizer) -> Result<Check> {
        let expected = padded(tokenizer, framed(tokenizer, &self.prompt)?);
        Ok(self.check(field, differing(&tokenizer.encode(&self.prompt)?.ids, &expected)))
    }

    fn check(&self, field: &str, error: f64) -> Check {
        Check { case: self.name.clone(), tensor: field.into(), error, tolerance: 0.0 }
    }
}

/// All ids of a prompt between start and end.
fn framed(tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>> {
    let frame = tokenizer.frame();
    let ids = tokenizer.tokenize(prompt)?;
    Ok(frame.start.into_iter().chain(ids).chain(frame.end).collect())
}

/// The expected window for framed ids: truncated before the end token, or padded after it.
fn padded(tokenizer: &Tokenizer, mut ids: Vec<u32>) -> Vec<u32> {
    let frame = tokenizer.frame();
    if ids.len() > frame.length {
        ids.truncate(frame.length - usize::from(frame.end.is_some()));
        ids.extend(frame.end);
    }
    ids.resize(frame.length, frame.pad);
    ids
}

/// How many ids differ, including those that only one of the two has.
fn differing(got: &[u32], reference: &[u32]) -> f64 {
    let common = got.iter().zip(reference).filter(|(a, b)| a != b).count();
    (common + got.len().abs_diff(reference.len())) as f64
}

/// The beginning of a prompt on one line.
fn excerpt(prompt: &str) -> String {
    prompt.chars().take(24).flat_map(char::escape_debug).collect()
}
