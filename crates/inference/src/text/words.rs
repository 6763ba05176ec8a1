//! From raw text to the words that byte-pair encoding works on: normalisation and the split at CLIP's pattern, as the
//! `tokenizers` library does both for `CLIPTokenizer`.

use super::classes::{is_letter, is_number, is_space};
use super::vocabulary::{END_OF_TEXT, START_OF_TEXT};
// With the tables of Unicode 9, which are those of the `tokenizers` library.
use unicode_normalization_alignments::UnicodeNormalization;

/// Contractions that are words of their own, in the order in which they are tried.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// Canonical composition (NFC), every run of white space as one blank, lower case. Lower case goes character by
/// character: a capital sigma at the end of a word does not become a final sigma.
pub(super) fn normalize(text: &str) -> String {
    if text.is_ascii() {
        return lower(text.chars());
    }
    lower(text.nfc().map(|(c, _)| c))
}

fn lower(text: impl Iterator<Item = char>) -> String {
    let mut normal = String::new();
    let mut after_space = false;
    for c in text {
        let space = is_space(c);
        if !space {
            normal.extend(c.to_lowercase());
        } else if !after_space {
            normal.push(' ');
        }
        after_space = space;
    }
    normal
}

/// Calls `emit` with every word of normalised text. A word is a special token's text, a contraction, a run of letters,
/// a single digit or a run of other characters; white space only separates.
pub(super) fn for_each_word<'a>(text: &'a str, mut emit: impl FnMut(&'a str)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if is_space(first) {
            rest = &rest[first.len_utf8()..];
        } else if let Some(special) = prefix(rest, &[START_OF_TEXT, END_OF_TEXT]) {
            // Text that looks like a special token but is none (it was in capitals) is split a second time.
            let name = &special[2..special.len() - 2];
            ["<|", name, "|>"].into_iter().for_each(&mut emit);
            rest = &rest[special.len()..];
        } else {
            let (word, after) = rest.split_at(word_length(rest, first));
            emit(word);
            rest = after;
        }
    }
}

/// How many bytes the word at the start of `rest` has; its first character is `first`, which is no white space.
fn word_length(rest: &str, first: char) -> usize {
    let run = |inside: fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
    if let Some(contraction) = prefix(rest, &CONTRACTIONS) {
        contraction.len()
    } else if is_letter(first) {
        run(is_letter)
    } else if is_number(first) {
        first.len_utf8()
    } else {
        run(|c| !is_space(c) && !is_letter(c) && !is_number(c))
    }
}

/// The first of `candidates` that the text starts with.
fn prefix(text: &str, candidates: &[&'static str]) -> Option<&'static str> {
    candidates.iter().copied().find(|candidate| text.starts_with(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(&normalize(text), |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn text_is_composed_lowered_and_its_spaces_are_collapsed() {
        assert_eq!(normalize("CAFE\u{301} \u{a0}\t x\n"), "café x ");
        assert_eq!(normalize("ΑΣ İ"), "ασ i\u{307}");
        assert_eq!(normalize("A\t\r\n B"), "a b");
    }

    #[test]
    fn splits_at_the_pattern() {
        assert_eq!(words("I'd don't 12 a1!?b"), ["i", "'d", "don", "'t", "1", "2", "a", "1", "!?", "b"]);
        assert_eq!(words("''re x\u{301}y ½Ⅷ"), ["''", "re", "x", "\u{301}", "y", "½", "ⅷ"]);
        assert_eq!(words(" \u{3000}\u{85} "), [""; 0]);
    }

    #[test]
    fn the_text_of_a_special_token_is_split_apart_from_what_follows() {
        assert_eq!(words("<|ENDOFTEXT|>'s!<|endoftext|>!"), ["<|", "endoftext", "|>", "'s", "!<|", "endoftext", "|>!"]);
    }
}
