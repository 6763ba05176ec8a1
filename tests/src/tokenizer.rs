//! Runs the cases of a tokenizer folder: prompts and the ids that transformers gives them.

use crate::Check;
use anyhow::{Context, Result, ensure};
use easel_inference::text::{ClipTokenizer, Tokenizer, TokenizerFiles};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Longer than any prompt of the cases, for the ids that are neither padded nor cut.
const UNCUT: usize = 1 << 20;

/// The files of a tokenizer folder in memory.
pub struct Folder {
    merges: Vec<u8>,
    vocab: Option<Vec<u8>>,
    special_tokens_map: Value,
    tokenizer_config: Value,
}

impl Folder {
    /// Reads `merges.txt`, `vocab.json` (either may be packed as `.gz`) and the two configuration files.
    pub fn read(dir: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Value> {
            let bytes = read(dir, name)?.with_context(|| format!("{}: no {name}", dir.display()))?;
            serde_json::from_slice(&bytes).with_context(|| name.to_owned())
        };
        Ok(Self {
            merges: read(dir, "merges.txt")?.with_context(|| format!("{}: no merges.txt", dir.display()))?,
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

    /// The tokenizer, in windows of `model_max_length` tokens.
    pub fn tokenizer(&self) -> Result<ClipTokenizer> {
        let map = serde_json::to_vec(&self.special_tokens_map)?;
        let config = serde_json::to_vec(&self.tokenizer_config)?;
        let files = TokenizerFiles {
            folder: "tokenizer",
            merges: &self.merges,
            vocab: self.vocab.as_deref(),
            special_tokens_map: Some(&map),
            tokenizer_config: Some(&config),
        };
        Ok(ClipTokenizer::from_files(&files, UNCUT)?)
    }
}

/// A file, or its `.gz` unpacked, or nothing if there is neither.
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

/// Runs every case of the folder. The error is the number of ids that differ; none may.
pub fn run(dir: &Path) -> Result<Vec<Check>> {
    let cases = dir.join("cases.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(&cases).with_context(|| cases.display().to_string())?)?;
    let cases = cases["cases"].as_array().context("cases.json has no cases")?;
    let [plain, bang] = [Folder::read(dir)?.tokenizer()?, Folder::read(dir)?.with_pad_token("!").tokenizer()?];
    let folder = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
    let mut checks = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let prompt = case["prompt"].as_str().with_context(|| format!("case {index} has no prompt"))?;
        let mut compare = |field: &str, got: Vec<u32>, reference: &[u32]| {
            let case = format!("{folder}/{index} {}", excerpt(prompt));
            checks.push(Check { case, tensor: field.into(), error: differing(&got, reference), tolerance: 0.0 });
        };
        let ids = ids(&case["ids"]).with_context(|| format!("case {index} has no ids"))?;
        compare("ids", framed(&plain, prompt)?, &ids);
        compare("ids_pad_bang", framed(&bang, prompt)?, &self::ids(&case["ids_pad_bang"]).unwrap_or(ids.clone()));
        for (field, tokenizer) in [("padded", &plain), ("padded with !", &bang)] {
            let framed = framed(tokenizer, prompt)?;
            compare(field, tokenizer.encode(prompt)?.ids, &padded(tokenizer, framed));
        }
        if let Some(cut) = self::ids(&case["ids_77"]) {
            compare("ids_77", plain.encode(prompt)?.ids, &cut);
        }
    }
    ensure!(!checks.is_empty(), "{}: no cases", dir.display());
    Ok(checks)
}

/// All ids of a prompt between start and end.
fn framed(tokenizer: &ClipTokenizer, prompt: &str) -> Result<Vec<u32>> {
    let frame = tokenizer.frame();
    Ok([frame.start.into_iter().collect(), tokenizer.tokenize(prompt)?, vec![frame.end]].concat())
}

/// What a window must be, worked out from the framed ids: cut before the end token, or padded after it.
fn padded(tokenizer: &ClipTokenizer, mut ids: Vec<u32>) -> Vec<u32> {
    let frame = tokenizer.frame();
    if ids.len() > frame.length {
        ids.truncate(frame.length - 1);
        ids.push(frame.end);
    }
    ids.resize(frame.length, frame.pad);
    ids
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// How many ids differ, those that only one of the two has included.
fn differing(got: &[u32], reference: &[u32]) -> f64 {
    let common = got.iter().zip(reference).filter(|(a, b)| a != b).count();
    (common + got.len().abs_diff(reference.len())) as f64
}

/// The beginning of a prompt on one line.
fn excerpt(prompt: &str) -> String {
    prompt.chars().take(24).flat_map(char::escape_debug).collect()
}
