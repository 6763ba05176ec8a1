//! Compares the tokenizers with transformers, and CLIP's built-in vocabulary with the reference.

use easel_inference::text::{PadToken, Tokenizer};
use easel_tests::Check;
use easel_tests::tokenizer::{Cases, Folder, run, run_clip};
use std::path::PathBuf;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/tokenizer-clip")
}

fn all_pass(checks: &[Check], at_least: usize) {
    assert!(checks.len() > at_least, "only {} checks", checks.len());
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_golden_prompt_has_the_ids_of_transformers() {
    all_pass(&run(&golden()).unwrap(), 300);
}

#[test]
fn every_golden_prompt_of_t5_has_the_ids_of_transformers() {
    all_pass(&run(&golden().with_file_name("tokenizer-t5")).unwrap(), 250);
}

#[test]
fn clip_has_the_same_ids_from_a_tokenizer_json() {
    let folder = Folder::read(&golden()).unwrap().clip_as_tokenizer_json().unwrap();
    all_pass(&run_clip(&folder, &Cases::read(&golden()).unwrap()).unwrap(), 300);
    assert_same(&folder.tokenizer().unwrap(), &Tokenizer::clip(PadToken::EndOfText).unwrap());
}

/// Checks that both have the same tokens and split text identically.
fn assert_same(left: &Tokenizer, right: &Tokenizer) {
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
    assert_same(&Tokenizer::clip(PadToken::EndOfText).unwrap(), &folder().tokenizer().unwrap());
    let bang = folder().with_pad_token("!").tokenizer().unwrap();
    assert_same(&Tokenizer::clip(PadToken::Exclamation).unwrap(), &bang);
}

#[test]
fn merges_alone_give_the_same_vocabulary() {
    let folder = || Folder::read(&golden()).unwrap();
    assert_same(&folder().without_vocab().tokenizer().unwrap(), &folder().tokenizer().unwrap());
}

#[test]
fn the_built_in_vocabulary_of_t5_has_the_ids_of_its_tokenizer_json() {
    let text = include_str!("../fixtures/t5-ids.json");
    let cases: Vec<(String, Vec<u32>)> = serde_json::from_str(text).unwrap();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    let tokenizer = Tokenizer::t5(512).unwrap();
    for (prompt, mut ids) in cases {
        // With the end token, as the file itself adds it.
        assert_eq!(ids.pop(), Some(1));
        assert_eq!(tokenizer.tokenize(&prompt).unwrap(), ids, "{prompt:?}");
    }
}
