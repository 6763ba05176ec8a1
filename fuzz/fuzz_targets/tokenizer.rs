//! Untrusted tokenizer files, each kind in turn, and a prompt that reaches every rule.

#![no_main]

use easel_inference::text::{Tokenizer, TokenizerFiles};
use libfuzzer_sys::fuzz_target;

const PROMPT: &str = "A ca\u{301}t's <|endoftext|> </s>!  12\u{200b}\u{fb01} \u{1f600}\u{65e5}";

fuzz_target!(|bytes: &[u8]| {
    let none = TokenizerFiles { folder: "t", ..TokenizerFiles::default() };
    let clip = TokenizerFiles { merges: Some(b"#version: 0.2\na b\n"), ..none };
    let all = [
        TokenizerFiles { tokenizer_json: Some(bytes), ..none },
        TokenizerFiles { merges: Some(bytes), ..none },
        TokenizerFiles { vocab: Some(bytes), ..clip },
        TokenizerFiles { special_tokens_map: Some(bytes), ..clip },
        TokenizerFiles { tokenizer_config: Some(bytes), ..clip },
    ];
    for files in all {
        let Ok(tokenizer) = Tokenizer::from_files(&files, 77) else { continue };
        let Ok(ids) = tokenizer.tokenize(PROMPT) else { continue };
        let _text = tokenizer.decode(&ids);
    }
});
