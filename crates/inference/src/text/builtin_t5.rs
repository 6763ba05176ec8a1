//! T5's vocabulary inside the binary, for single files, which have no tokenizer. `assets/README.md` describes the file and
//! its licence. Pages fetch it when a model needs it: half a megabyte that most visitors have no use for.

use super::T5_SPECIAL_TOKENS;
use super::builtin::get_or_try_init;
use super::tokenizer::{Tokenizer, TokenizerFiles};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::sync::OnceLock;

/// The `tokenizer.json`, compressed.
static PACKED: &[u8] = include_bytes!("../../assets/t5-tokenizer.json.zlib");
const FILE: &str = "the built-in T5 vocabulary";

/// The tokenizer, with windows of this many tokens.
pub(super) fn tokenizer(length: usize) -> Result<Tokenizer> {
    static KEPT: OnceLock<Tokenizer> = OnceLock::new();
    Ok(get_or_try_init(&KEPT, unpack)?.with_length(length))
}

fn unpack() -> Result<Tokenizer> {
    let mut json = Vec::new();
    ZlibDecoder::new(PACKED).read_to_end(&mut json).map_err(|error| Error::format(FILE, error.to_string()))?;
    let files = TokenizerFiles {
        folder: FILE,
        tokenizer_json: Some(&json),
        special_tokens_map: Some(T5_SPECIAL_TOKENS.as_bytes()),
        ..TokenizerFiles::default()
    };
    Tokenizer::from_files(&files, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_the_ids_of_t5() {
        let tokenizer = tokenizer(12).unwrap();
        let encoded = tokenizer.encode("a photo of a cat").unwrap();
        assert_eq!(encoded.ids, [3, 9, 1202, 13, 3, 9, 1712, 1, 0, 0, 0, 0]);
        assert_eq!(tokenizer.vocab_size(), 32100);
    }
}
