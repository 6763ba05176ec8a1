//! The CLIP tokenizer against transformers, and the built-in vocabulary against the reference one.

use easel_inference::text::{ClipTokenizer, PadToken, Tokenizer};
use easel_tests::tokenizer::{Folder, run};
use std::path::PathBuf;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/tokenizer-clip")
}

#[test]
fn every_golden_prompt_has_the_ids_of_transformers() {
    let checks = run(&golden()).unwrap();
    assert!(checks.len() > 300, "only {} checks", checks.len());
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Both know the same tokens and split the same text alike.
fn assert_same(left: &ClipTokenizer, right: &ClipTokenizer) {
    assert_eq!(left.vocab_size(), right.vocab_size());
    assert_eq!(left.frame(), right.frame());
    let mut text = String::new();
    for id in 0..left.vocab_size() as u32 {
        let token = left.decode(&[id]);
        assert_eq!(token, right.decode(&[id]), "token {id}");
        text += &token;
        text.push(' ');
        if text.len() > 60_000 {
            assert_eq!(left.tokenize(&text).unwrap(), right.tokenize(&text).unwrap());
            text.clear();
        }
    }
}

#[test]
fn the_built_in_vocabulary_is_the_reference_one() {
    let folder = || Folder::read(&golden()).unwrap();
    assert_same(&ClipTokenizer::builtin(PadToken::EndOfText).unwrap(), &folder().tokenizer().unwrap());
    let bang = folder().with_pad_token("!").tokenizer().unwrap();
    assert_same(&ClipTokenizer::builtin(PadToken::Exclamation).unwrap(), &bang);
}

#[test]
fn merges_alone_make_the_same_vocabulary() {
    let folder = || Folder::read(&golden()).unwrap();
    assert_same(&folder().without_vocab().tokenizer().unwrap(), &folder().tokenizer().unwrap());
}
