//! Byte-pair vocabularies: from CLIP's `vocab.json` and `merges.txt`, or from `merges.txt` alone as OpenAI builds it
//! (<https://github.com/openai/CLIP>, `simple_tokenizer.py`), and the checks for both and for `tokenizer.json`.

use crate::{Error, Result};
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};

/// The end-of-word mark in CLIP's files.
pub(super) const END_OF_WORD: &str = "</w>";
/// The first token of every CLIP prompt.
pub(super) const START_OF_TEXT: &str = "<|startoftext|>";
/// The last token of every CLIP prompt.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";
/// How many merges of `bpe_simple_vocab_16e6.txt` OpenAI uses: 49,152 tokens minus 256 bytes and two special tokens.
pub(super) const CLIP_MERGES: usize = 49_152 - 256 - 2;

/// Two tokens that become one, and where the file says so.
pub(super) struct Merge<'a> {
    /// The line of `merges.txt`, or the index in the list of `tokenizer.json`.
    pub(super) place: usize,
    pub(super) left: &'a str,
    pub(super) right: &'a str,
}

/// Merges in the order of their ranks, with names for errors.
pub(super) struct Merges<'a> {
    pub(super) file: &'a str,
    /// The word for a place, for example `line`.
    pub(super) unit: &'static str,
    pub(super) list: Vec<Merge<'a>>,
}

/// Reads CLIP's vocabulary from the bytes of `merges.txt` and, if there is one, `vocab.json`; the names are for errors.
/// Bytes that are missing from the vocabulary become `unknown`.
pub(super) fn read_clip(vocab: Option<(&str, &[u8])>, merges: (&str, &[u8]), unknown: &str) -> Result<BPE> {
    let mut merges = read_merges(merges.0, merges.1)?;
    let file = vocab.map_or(merges.file, |(file, _)| file);
    let ids = match vocab {
        Some((file, bytes)) => read_vocab(file, bytes)?,
        None => {
            merges.list.truncate(CLIP_MERGES);
            vocab_from_merges(&merges)?
        }
    };
    if !ids.contains_key(unknown) {
        let missing = byte_tokens().find(|token| !ids.contains_key(token));
        if let Some(token) = missing {
            return Err(Error::format(file, format!("token {token} is missing")));
        }
    }
    build(clip_builder(unknown), file, ids, &merges)
}

/// The rules of CLIP's vocabulary, without its tokens.
pub(super) fn clip_builder(unknown: &str) -> BpeBuilder {
    BpeBuilder::new().unk_token(unknown.to_owned()).end_of_word_suffix(END_OF_WORD.to_owned())
}

/// Checks a vocabulary and its merges, and builds the model: ids must be 0, 1, 2 and so on, and all parts and results
/// of merges must be tokens.
pub(super) fn build(builder: BpeBuilder, file: &str, ids: Vocab, merges: &Merges<'_>) -> Result<BPE> {
    check_ids(file, &ids)?;
    for Merge { place, left, right } in &merges.list {
        let joined = [*left, *right].concat();
        let missing = [*left, *right, &joined].into_iter().find(|token| !ids.contains_key(*token));
        if let Some(token) = missing {
            let reason = format!("{} {place}: token {token:?} is not in the vocabulary", merges.unit);
            return Err(Error::format(merges.file, reason));
        }
    }
    let merges = merges.list.iter().map(|merge| (merge.left.to_owned(), merge.right.to_owned())).collect();
    // Prompts are short and differ: a cache of words would only grow.
    let builder = builder.cache_capacity(0).vocab_and_merges(ids, merges);
    builder.build().map_err(|error| Error::format(file, error.to_string()))
}

fn check_ids(file: &str, ids: &Vocab) -> Result<()> {
    let mut taken = vec![false; ids.len()];
    for (token, &id) in ids {
        let Some(place) = taken.get_mut(id as usize) else {
            let reason = format!("token {token:?} has id {id}, expected one below {}", ids.len());
            return Err(Error::format(file, reason));
        };
        *place = true;
    }
    match taken.iter().position(|taken| !taken) {
        Some(id) => Err(Error::format(file, format!("no token has id {id}"))),
        None => Ok(()),
    }
}

/// CLIP's single-byte tokens in the order of their ids: inside a word, then at its end.
pub(super) fn byte_tokens() -> impl Iterator<Item = String> {
    let inside = byte_alphabet().map(String::from);
    let last = byte_alphabet().map(|byte| format!("{byte}{END_OF_WORD}"));
    inside.chain(last)
}

/// The printable characters that stand for bytes, in OpenAI's order: first the bytes that are printable themselves,
/// then the others, as characters starting at U+0100.
fn byte_alphabet() -> impl Iterator<Item = char> {
    let printable = (33..=126).chain(161..=172).chain(174..=255);
    printable.chain(0x100..0x144).filter_map(char::from_u32)
}

/// Reads `merges.txt`. A first line with `#version` and empty lines are skipped.
fn read_merges<'a>(file: &'a str, bytes: &'a [u8]) -> Result<Merges<'a>> {
    let text = utf8(file, bytes)?;
    let mut list = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = index + 1;
        if line.is_empty() || (place == 1 && line.contains("#version")) {
            continue;
        }
        let Some((left, right)) = split_merge(line) else {
            let reason = format!("line {place}: expected two tokens, got {:?}", excerpt(line));
            return Err(Error::format(file, reason));
        };
        list.push(Merge { place, left, right });
    }
    Ok(Merges { file, unit: "line", list })
}

/// The two tokens of a merge that is written with a space between them.
pub(super) fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let (left, right) = merge.split_once(' ')?;
    (!left.is_empty() && !right.is_empty() && !right.contains(' ')).then_some((left, right))
}

fn read_vocab(file: &str, bytes: &[u8]) -> Result<Vocab> {
    let expected = "expected an object of tokens and ids";
    serde_json::from_slice(bytes).map_err(|error| Error::format(file, format!("{expected}: {error}")))
}

/// OpenAI's construction: the bytes, the bytes at the end of a word, one token per merge, and the two special tokens.
fn vocab_from_merges(merges: &Merges<'_>) -> Result<Vocab> {
    let mut ids: Vocab = byte_tokens().zip(0..).collect();
    for Merge { place, left, right } in &merges.list {
        let id = ids.len() as u32;
        if ids.insert([*left, *right].concat(), id).is_some() {
            let reason = format!("line {place}: token {left}{right} already exists");
            return Err(Error::format(merges.file, reason));
        }
    }
    for special in [START_OF_TEXT, END_OF_TEXT] {
        let id = ids.len() as u32;
        ids.entry(special.to_owned()).or_insert(id);
    }
    Ok(ids)
}

/// The bytes as text, or an error that names the line.
fn utf8<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Error::format(file, format!("line {line}: not UTF-8"))
    })
}

/// The beginning of a line, enough to recognise it.
pub(super) fn excerpt(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::Model;

    const MERGES: &str = "#version: 0.2\na b\nab c</w>\n";

    fn vocab(change: impl FnOnce(&mut Vocab)) -> Vec<u8> {
        let merges = read_merges("m", MERGES.as_bytes()).unwrap();
        let mut ids = vocab_from_merges(&merges).unwrap();
        change(&mut ids);
        serde_json::to_vec(&ids).unwrap()
    }

    fn from_merges(merges: &str) -> BPE {
        read_clip(None, ("m", merges.as_bytes()), END_OF_TEXT).unwrap()
    }

    fn error(vocab: Option<&[u8]>, merges: &[u8]) -> String {
        let vocab = vocab.map(|bytes| ("t/vocab.json", bytes));
        read_clip(vocab, ("t/merges.txt", merges), END_OF_TEXT).unwrap_err().to_string()
    }

    fn merges_error(merges: &str) -> String {
        error(None, merges.as_bytes())
    }

    fn vocab_error(change: impl FnOnce(&mut Vocab)) -> String {
        error(Some(&vocab(change)), MERGES.as_bytes())
    }

    /// The tokens of a word, under these merges.
    fn parts(merges: &str, word: &str) -> Vec<String> {
        let tokens = from_merges(merges).tokenize(word).unwrap();
        tokens.into_iter().map(|token| token.value).collect()
    }

    #[test]
    fn ids_follow_the_construction_of_openai() {
        let bpe = from_merges(MERGES);
        assert_eq!(bpe.get_vocab_size(), 516);
        let texts: Vec<_> = [0, 187, 188, 256, 512, 513, 514, 515].map(|id| bpe.id_to_token(id).unwrap()).into();
        assert_eq!(texts, ["!", "ÿ", "Ā", "!</w>", "ab", "abc</w>", START_OF_TEXT, END_OF_TEXT]);
        assert_eq!(bpe.id_to_token(516), None);
    }

    #[test]
    fn all_line_ends_and_version_lines_are_accepted() {
        for merges in ["a b\nab c</w>", "\"bpe_simple_vocab_16e6.txt#version: 0.2\r\na b\r\nab c</w>\r\n\r\n"] {
            assert_eq!(from_merges(merges).get_vocab_size(), 516);
        }
    }

    #[test]
    fn the_earliest_merge_is_applied_first_wherever_it_is() {
        assert_eq!(parts("b c\na b\n", "abcd"), ["a", "bc", "d</w>"]);
        // At the end of a word, `c` is a different token.
        assert_eq!(parts("b c\na b\n", "abc"), ["ab", "c</w>"]);
        assert_eq!(parts("b c</w>\na b\n", "abc"), ["a", "bc</w>"]);
        assert_eq!(parts("a b\nb c</w>\n", "abc"), ["ab", "c</w>"]);
        assert_eq!(parts("b c</w>\na bc</w>\n", "abc"), ["abc</w>"]);
    }

    #[test]
    fn equal_pairs_are_merged_from_left_to_right() {
        assert_eq!(parts("a a\n", "aaaab"), ["aa", "aa", "b</w>"]);
        assert_eq!(parts("a a\n", "aaab"), ["aa", "a", "b</w>"]);
        assert_eq!(parts("a a\na a</w>\naa aa\n", "aaaaa"), ["aaaa", "a</w>"]);
    }

    #[test]
    fn damaged_merges_are_named_by_line() {
        assert_eq!(merges_error("#version\na b\nab\n"), "t/merges.txt: line 3: expected two tokens, got \"ab\"");
        assert_eq!(merges_error("a b c\n"), "t/merges.txt: line 1: expected two tokens, got \"a b c\"");
        assert_eq!(merges_error("a b\nx yz\n"), "t/merges.txt: line 2: token \"yz\" is not in the vocabulary");
        assert_eq!(merges_error("a b\na b\n"), "t/merges.txt: line 2: token ab already exists");
        assert_eq!(error(None, b"a b\n\xff b\n"), "t/merges.txt: line 2: not UTF-8");
    }

    #[test]
    fn damaged_vocabularies_are_refused() {
        assert_eq!(
            error(Some(b"[1]"), MERGES.as_bytes()),
            "t/vocab.json: expected an object of tokens and ids: invalid type: sequence, expected a map at line 1 column 0"
        );
        let far = vocab_error(|ids| _ = ids.insert("ab".into(), 4_000_000_000));
        assert_eq!(far, "t/vocab.json: token \"ab\" has id 4000000000, expected one below 516");
        assert_eq!(vocab_error(|ids| _ = ids.insert("ab".into(), 513)), "t/vocab.json: no token has id 512");
        let hole = |ids: &mut Vocab| {
            ids.remove("ab");
            ids.insert("other".into(), 512);
        };
        assert_eq!(vocab_error(hole), "t/merges.txt: line 2: token \"ab\" is not in the vocabulary");
        let longer = vocab_error(|ids| ids.retain(|token, _| token.len() < 3));
        assert!(longer.starts_with("t/vocab.json: token"), "{longer}");
    }

    #[test]
    fn a_missing_byte_is_unknown() {
        let change = |ids: &mut Vocab| {
            let id = ids.remove("x").unwrap();
            ids.insert("other".into(), id);
        };
        let vocab = vocab(change);
        let bpe = read_clip(Some(("v", &vocab)), ("m", MERGES.as_bytes()), END_OF_TEXT).unwrap();
        let ids: Vec<u32> = bpe.tokenize("xab").unwrap().into_iter().map(|token| token.id).collect();
        assert_eq!(ids, [515, 64, 256 + 65]);
        let error = read_clip(Some(("v", &vocab)), ("m", MERGES.as_bytes()), "none").unwrap_err();
        assert_eq!(error.to_string(), "v: token x is missing");
    }
}
