//! The full CLIP vocabulary inside the binary, for single-file checkpoints, which bring no tokenizer.
//! `assets/README.md` describes the file and names its licence.

use super::bpe::{Bpe, ByteTokens, Merge, Texts};
use super::vocabulary::{CLIP_MERGES, END_OF_TEXT, START_OF_TEXT, byte_order};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, OnceLock};

/// The merges as pairs of ids, packed.
static PACKED: &[u8] = include_bytes!("../../assets/clip-merges.zlib");
const FILE: &str = "the built-in CLIP vocabulary";

/// What a text encoder was trained to see after the end of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadToken {
    /// The end token again: Stable Diffusion 1.x, the first text encoder of SDXL.
    EndOfText,
    /// Token 0, which is `!`: Stable Diffusion 2.x, the second text encoder of SDXL (OpenCLIP's).
    Exclamation,
}

impl PadToken {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::EndOfText => END_OF_TEXT,
            Self::Exclamation => "!",
        }
    }
}

/// The vocabulary, unpacked when it is asked for first.
pub(super) fn clip_bpe() -> Result<Arc<Bpe>> {
    static CLIP: OnceLock<Arc<Bpe>> = OnceLock::new();
    if let Some(bpe) = CLIP.get() {
        return Ok(bpe.clone());
    }
    let bpe = Arc::new(unpack()?);
    Ok(CLIP.get_or_init(|| bpe).clone())
}

fn unpack() -> Result<Bpe> {
    let mut planes = Vec::with_capacity(4 * CLIP_MERGES);
    ZlibDecoder::new(PACKED).read_to_end(&mut planes).map_err(|error| Error::format(FILE, error.to_string()))?;
    if planes.len() != 4 * CLIP_MERGES {
        return Err(Error::format(FILE, format!("{} bytes, expected {}", planes.len(), 4 * CLIP_MERGES)));
    }
    let (bytes, mut texts) = byte_tokens();
    let mut merges = HashMap::with_capacity(CLIP_MERGES);
    for rank in 0..CLIP_MERGES {
        let id = |plane: usize| {
            let [low, high] = [plane, plane + 1].map(|plane| planes[plane * CLIP_MERGES + rank]);
            u32::from(u16::from_le_bytes([low, high]))
        };
        let pair = (id(0), id(2));
        merges.insert(pair, Merge { rank: rank as u32, token: texts.len() as u32 });
        texts.push_joined(pair);
    }
    for special in [START_OF_TEXT, END_OF_TEXT] {
        texts.push(special.as_bytes());
    }
    Ok(Bpe::new(bytes, merges, texts))
}

/// The 512 tokens of single bytes: inside a word, then at its end.
fn byte_tokens() -> (ByteTokens, Texts) {
    let mut tokens = ByteTokens { inside: [0; 256], last: [0; 256] };
    let mut texts = Texts::default();
    for (id, byte) in (0..).zip(byte_order()) {
        tokens.inside[usize::from(byte)] = id;
        tokens.last[usize::from(byte)] = 256 + id;
        texts.push(&[byte]);
    }
    for byte in byte_order() {
        texts.push(&[byte, b' ']);
    }
    (tokens, texts)
}
