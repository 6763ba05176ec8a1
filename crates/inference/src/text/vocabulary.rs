//! Reading CLIP's `vocab.json` and `merges.txt`, or the vocabulary from `merges.txt` alone as OpenAI builds it
//! (<https://github.com/openai/CLIP>, `simple_tokenizer.py`).

use super::bpe::{Bpe, ByteTokens, Merge, Texts};
use crate::{Error, Result};
use std::collections::HashMap;

/// What ends a word in the files.
const END_OF_WORD: &str = "</w>";
/// The first token of every prompt.
pub(super) const START_OF_TEXT: &str = "<|startoftext|>";
/// The last token of every prompt.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";
/// How many merges of `bpe_simple_vocab_16e6.txt` OpenAI uses: 49,152 tokens less 256 bytes and two special tokens.
pub(super) const CLIP_MERGES: usize = 49_152 - 256 - 2;

/// Builds the encoder from the bytes of `merges.txt` and, if there is one, `vocab.json`; the names are for errors.
/// Bytes that the vocabulary lacks become `unknown`.
pub(super) fn read(vocab: Option<(&str, &[u8])>, merges: (&str, &[u8]), unknown: &str) -> Result<Bpe> {
    let (file, bytes) = merges;
    let mut merges = read_merges(file, bytes)?;
    let ids = match vocab {
        Some((file, bytes)) => read_vocab(file, bytes)?,
        None => {
            merges.truncate(CLIP_MERGES);
            vocab_from_merges(file, &merges)?
        }
    };
    let alphabet = byte_alphabet();
    let texts = texts(vocab.map_or(file, |(file, _)| file), &ids, &alphabet)?;
    let unknown = ids.get(unknown).copied();
    let byte = |suffix: &str| -> Result<[u32; 256]> {
        let mut tokens = [0; 256];
        for (token, character) in tokens.iter_mut().zip(alphabet) {
            let name = format!("{character}{suffix}");
            let id = ids.get(&name).copied().or(unknown);
            let file = vocab.map_or(file, |(file, _)| file);
            *token = id.ok_or_else(|| Error::format(file, format!("token {name} is missing")))?;
        }
        Ok(tokens)
    };
    let bytes = ByteTokens { inside: byte("")?, last: byte(END_OF_WORD)? };
    Ok(Bpe::new(bytes, merge_table(file, &merges, &ids)?, texts))
}

/// The printable character that stands for each byte: itself where it is printable, else one from U+0100 on.
fn byte_alphabet() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let character = byte as u8 as char;
        if is_printable(byte as u8) {
            return character;
        }
        next += 1;
        char::from_u32(next - 1).unwrap_or(character)
    })
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 33..=126 | 161..=172 | 174..=255)
}

/// All bytes in the order of their ids: the printable ones first.
pub(super) fn byte_order() -> impl Iterator<Item = u8> {
    let printable = (0..=255).filter(|&byte| is_printable(byte));
    printable.chain((0..=255).filter(|&byte| !is_printable(byte)))
}

/// One line of `merges.txt`.
struct Line<'a> {
    number: usize,
    left: &'a str,
    right: &'a str,
}

/// The merges in the order of their ranks. A line with `#version` and empty lines are left out.
fn read_merges<'a>(file: &str, bytes: &'a [u8]) -> Result<Vec<Line<'a>>> {
    let text = utf8(file, bytes)?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let skipped = |number: usize, line: &str| line.is_empty() || (number == 1 && line.contains("#version"));
    let lines = lines.filter(|(number, line)| !skipped(*number, line));
    let merges = lines.map(|(number, line)| match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok(Line { number, left, right })
        }
        _ => Err(Error::format(file, format!("line {number}: expected two tokens, got {:?}", excerpt(line)))),
    });
    merges.collect()
}

fn read_vocab(file: &str, bytes: &[u8]) -> Result<HashMap<String, u32>> {
    let expected = "expected an object of tokens and ids";
    serde_json::from_slice(bytes).map_err(|error| Error::format(file, format!("{expected}: {error}")))
}

/// OpenAI's construction: the bytes, the bytes at the end of a word, one token per merge, and the two special tokens.
fn vocab_from_merges(file: &str, merges: &[Line<'_>]) -> Result<HashMap<String, u32>> {
    let alphabet = byte_alphabet();
    let bytes = || byte_order().map(|byte| alphabet[usize::from(byte)].to_string());
    let words = bytes().map(|byte| byte + END_OF_WORD);
    let mut ids: HashMap<String, u32> = bytes().chain(words).zip(0..).collect();
    for Line { number, left, right } in merges {
        let id = ids.len() as u32;
        if ids.insert(format!("{left}{right}"), id).is_some() {
            return Err(Error::format(file, format!("line {number}: token {left}{right} is there already")));
        }
    }
    for special in [START_OF_TEXT, END_OF_TEXT] {
        let id = ids.len() as u32;
        ids.entry(special.to_owned()).or_insert(id);
    }
    Ok(ids)
}

/// The text of every token, with a blank for the end of a word. The ids must be 0, 1, 2 and so on.
fn texts(file: &str, ids: &HashMap<String, u32>, alphabet: &[char; 256]) -> Result<Texts> {
    let mut names = vec![None; ids.len()];
    for (name, &id) in ids {
        let Some(place) = names.get_mut(id as usize) else {
            let reason = format!("token {name:?} has id {id}, expected one below {}", ids.len());
            return Err(Error::format(file, reason));
        };
        *place = Some(name);
    }
    let bytes: HashMap<char, u8> = alphabet.iter().copied().zip(0..=255).collect();
    let mut texts = Texts::default();
    for (id, name) in names.into_iter().enumerate() {
        let name = name.ok_or_else(|| Error::format(file, format!("no token has id {id}")))?;
        let word = name.strip_suffix(END_OF_WORD);
        let mut text = Vec::with_capacity(name.len());
        for character in word.unwrap_or(name).chars() {
            match bytes.get(&character) {
                Some(&byte) => text.push(byte),
                None => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        text.extend(word.map(|_| b' '));
        texts.push(&text);
    }
    Ok(texts)
}

/// The merges by ids. Both tokens and what they become must be in the vocabulary.
fn merge_table(file: &str, merges: &[Line<'_>], ids: &HashMap<String, u32>) -> Result<HashMap<(u32, u32), Merge>> {
    let mut table = HashMap::with_capacity(merges.len());
    for (Line { number, left, right }, rank) in merges.iter().zip(0..) {
        let id = |token: &str| {
            let reason = || format!("line {number}: token {token:?} is not in the vocabulary");
            ids.get(token).copied().ok_or_else(|| Error::format(file, reason()))
        };
        table.insert((id(left)?, id(right)?), Merge { rank, token: id(&format!("{left}{right}"))? });
    }
    Ok(table)
}

/// The bytes as text, or an error that names the line.
fn utf8<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Error::format(file, format!("line {line}: not UTF-8"))
    })
}

/// Enough of a line to recognise it by.
fn excerpt(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGES: &str = "#version: 0.2\na b\nab c</w>\n";

    fn vocab(change: impl FnOnce(&mut HashMap<String, u32>)) -> Vec<u8> {
        let merges = read_merges("m", MERGES.as_bytes()).unwrap();
        let mut ids = vocab_from_merges("m", &merges).unwrap();
        change(&mut ids);
        serde_json::to_vec(&ids).unwrap()
    }

    fn error(vocab: Option<&[u8]>, merges: &[u8]) -> String {
        let vocab = vocab.map(|bytes| ("t/vocab.json", bytes));
        read(vocab, ("t/merges.txt", merges), END_OF_TEXT).unwrap_err().to_string()
    }

    fn merges_error(merges: &str) -> String {
        error(None, merges.as_bytes())
    }

    fn vocab_error(change: impl FnOnce(&mut HashMap<String, u32>)) -> String {
        error(Some(&vocab(change)), MERGES.as_bytes())
    }

    #[test]
    fn ids_follow_the_construction_of_openai() {
        let bpe = read(None, ("m", MERGES.as_bytes()), END_OF_TEXT).unwrap();
        assert_eq!(bpe.len(), 516);
        let texts: Vec<_> = [0, 187, 188, 256, 512, 513, 514, 515].map(|id| bpe.text(id).unwrap()).into();
        let expected: [&[u8]; 8] =
            [b"!", &[255], &[0], b"! ", b"ab", b"abc ", START_OF_TEXT.as_bytes(), END_OF_TEXT.as_bytes()];
        assert_eq!(texts, expected);
        assert_eq!(bpe.text(516), None);
    }

    #[test]
    fn line_ends_and_version_lines_of_all_sources_are_read() {
        for merges in ["a b\nab c</w>", "\"bpe_simple_vocab_16e6.txt#version: 0.2\r\na b\r\nab c</w>\r\n\r\n"] {
            assert_eq!(read(None, ("m", merges.as_bytes()), END_OF_TEXT).unwrap().len(), 516);
        }
    }

    #[test]
    fn damaged_merges_are_named_by_line() {
        assert_eq!(merges_error("#version\na b\nab\n"), "t/merges.txt: line 3: expected two tokens, got \"ab\"");
        assert_eq!(merges_error("a b c\n"), "t/merges.txt: line 1: expected two tokens, got \"a b c\"");
        assert_eq!(merges_error("a b\nx yz\n"), "t/merges.txt: line 2: token \"yz\" is not in the vocabulary");
        assert_eq!(merges_error("a b\na b\n"), "t/merges.txt: line 2: token ab is there already");
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
        let hole = |ids: &mut HashMap<String, u32>| {
            ids.remove("ab");
            ids.insert("other".into(), 512);
        };
        assert_eq!(vocab_error(hole), "t/merges.txt: line 2: token \"ab\" is not in the vocabulary");
    }

    #[test]
    fn a_missing_byte_is_unknown() {
        let change = |ids: &mut HashMap<String, u32>| {
            let id = ids.remove("x").unwrap();
            ids.insert("other".into(), id);
        };
        let vocab = vocab(change);
        let bpe = read(Some(("v", &vocab)), ("m", MERGES.as_bytes()), END_OF_TEXT).unwrap();
        let mut ids = Vec::new();
        bpe.encode_word("xab", &mut ids);
        assert_eq!(ids, [515, 64, 256 + 65]);
        let error = read(Some(("v", &vocab)), ("m", MERGES.as_bytes()), "none").unwrap_err();
        assert_eq!(error.to_string(), "v: token x is missing");
    }
}
