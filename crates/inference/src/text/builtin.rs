//! The full CLIP vocabulary, for single-file checkpoints, which have no tokenizer. It is inside the binary, unless that is
//! fetched by a page (cargo feature `native`). `assets/README.md` describes the file and its licence.

use super::clip;
use super::configuration::Configuration;
use super::tokenizer::Tokenizer;
use super::vocabulary::{CLIP_MERGES, END_OF_TEXT, START_OF_TEXT, byte_tokens, clip_builder};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::sync::{Arc, OnceLock};
use tokenizers::models::bpe::{BPE, Vocab};

/// The merges as pairs of ids, packed.
#[cfg(feature = "native")]
const BUILT_IN: Option<&[u8]> = Some(include_bytes!("../../assets/clip-merges.zlib"));
#[cfg(not(feature = "native"))]
const BUILT_IN: Option<&[u8]> = None;
/// The same, from a page that has fetched it.
static PROVIDED: OnceLock<Vec<u8>> = OnceLock::new();
const FILE: &str = "the built-in CLIP vocabulary";
/// The length of CLIP's window in tokens.
const WINDOW: usize = 77;

/// The padding after a prompt with which a text encoder was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadToken {
    /// The end token again: Stable Diffusion 1.x, the first text encoder of SDXL.
    EndOfText,
    /// Token 0, `!`: Stable Diffusion 2.x, the second text encoder of SDXL (OpenCLIP's).
    Exclamation,
}

impl PadToken {
    fn text(self) -> &'static str {
        match self {
            Self::EndOfText => END_OF_TEXT,
            Self::Exclamation => "!",
        }
    }
}

/// Provides the vocabulary to a build without one: the bytes of `assets/clip-merges.zlib`. It is needed before a model without
/// a tokenizer is loaded, and once.
pub fn provide_clip_vocabulary(packed: Vec<u8>) {
    _ = PROVIDED.set(packed);
}

/// CLIP's tokenizer with this padding token. Both share one vocabulary, which is unpacked on first use.
pub(super) fn tokenizer(pad: PadToken) -> Result<Tokenizer> {
    static BPE: OnceLock<Arc<BPE>> = OnceLock::new();
    static END_OF_TEXT: OnceLock<Tokenizer> = OnceLock::new();
    static EXCLAMATION: OnceLock<Tokenizer> = OnceLock::new();
    let kept = match pad {
        PadToken::EndOfText => &END_OF_TEXT,
        PadToken::Exclamation => &EXCLAMATION,
    };
    get_or_try_init(kept, || {
        let bpe = get_or_try_init(&BPE, || Ok(Arc::new(unpack(packed()?)?)))?;
        Tokenizer::new(clip::parts(bpe)?, &Configuration::clip(pad.text()), WINDOW)
    })
}

pub(super) fn get_or_try_init<T: Clone>(kept: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<T> {
    if let Some(kept) = kept.get() {
        return Ok(kept.clone());
    }
    let made = make()?;
    Ok(kept.get_or_init(|| made).clone())
}

fn packed() -> Result<&'static [u8]> {
    let provided = || PROVIDED.get().map(Vec::as_slice);
    BUILT_IN.or_else(provided).ok_or_else(|| Error::format(FILE, "this build has none, expected it to be provided"))
}

/// Builds the vocabulary from its merges: token `512 + k` is the two tokens of merge `k` joined.
fn unpack(packed: &[u8]) -> Result<BPE> {
    let mut planes = Vec::with_capacity(4 * CLIP_MERGES);
    ZlibDecoder::new(packed).read_to_end(&mut planes).map_err(|error| Error::format(FILE, error.to_string()))?;
    if planes.len() != 4 * CLIP_MERGES {
        return Err(Error::format(FILE, format!("{} bytes, expected {}", planes.len(), 4 * CLIP_MERGES)));
    }
    let mut tokens: Vec<String> = byte_tokens().collect();
    tokens.reserve(CLIP_MERGES + 2);
    let mut merges = Vec::with_capacity(CLIP_MERGES);
    for merge in 0..CLIP_MERGES {
        let token = |plane: usize| {
            let [low, high] = [plane, plane + 1].map(|plane| planes[plane * CLIP_MERGES + merge]);
            let token = tokens.get(usize::from(u16::from_le_bytes([low, high])));
            token.ok_or_else(|| Error::format(FILE, format!("merge {merge} refers to a later token")))
        };
        let left = token(0)?.clone();
        let right = token(2)?.clone();
        tokens.push([&*left, &*right].concat());
        merges.push((left, right));
    }
    tokens.extend([START_OF_TEXT, END_OF_TEXT].map(String::from));
    let ids: Vocab = tokens.into_iter().zip(0..).collect();
    let builder = clip_builder(END_OF_TEXT).cache_capacity(0).vocab_and_merges(ids, merges);
    builder.build().map_err(|error| Error::format(FILE, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_provided_is_checked() {
        let error = |packed: &[u8]| unpack(packed).unwrap_err().to_string();
        assert!(error(b"<!doctype html>").starts_with("the built-in CLIP vocabulary: "));
        let empty = [0x78, 0x9c, 3, 0, 0, 0, 0, 1];
        assert_eq!(error(&empty), "the built-in CLIP vocabulary: 0 bytes, expected 195576");
    }
}
