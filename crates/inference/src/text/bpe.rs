//! Byte-pair encoding (<https://arxiv.org/abs/1508.07909>) of single words, byte-level with an end-of-word mark, as CLIP
//! uses it (<https://github.com/openai/CLIP>, `simple_tokenizer.py`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Two neighbouring tokens.
type Pair = (u32, u32);

/// The merges and the tokens of one vocabulary.
///
/// An end of word (`</w>` in the files) is kept as a blank at the end of the token's text. No token has another blank,
/// because words hold no white space.
#[derive(Debug)]
pub(super) struct Bpe {
    bytes: ByteTokens,
    merges: HashMap<Pair, Merge>,
    tokens: Texts,
}

/// Which token a single byte is.
#[derive(Debug)]
pub(super) struct ByteTokens {
    /// Anywhere in a word but at its end.
    pub(super) inside: [u32; 256],
    /// At the end of a word.
    pub(super) last: [u32; 256],
}

/// What a pair becomes, and when: the smallest rank goes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) token: u32,
}

/// The texts of all tokens, one after the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// Adds the text of the next id.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// Adds the text of the next id, which is those of two earlier ones joined.
    pub(super) fn push_joined(&mut self, (left, right): Pair) {
        let joined = [self.get(left).unwrap_or_default(), self.get(right).unwrap_or_default()].concat();
        self.push(&joined);
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let start = if id == 0 { 0 } else { *self.ends.get(id - 1)? };
        self.bytes.get(start..*self.ends.get(id)?)
    }

    /// The first token with this text.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        (0..self.len() as u32).find(|&id| self.get(id) == Some(text))
    }
}

impl Bpe {
    pub(super) fn new(bytes: ByteTokens, merges: HashMap<Pair, Merge>, tokens: Texts) -> Self {
        Self { bytes, merges, tokens }
    }

    /// How many tokens the vocabulary has.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token with this text, which is not at the end of a word.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.tokens.find(text.as_bytes())
    }

    /// The text of a token, with a blank where a word ends.
    pub(super) fn text(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id)
    }

    /// Appends the tokens of one word. Takes `n log n` steps for `n` bytes, so a very long word does no harm.
    pub(super) fn encode_word(&self, word: &str, ids: &mut Vec<u32>) {
        let mut parts = Parts::new(word.as_bytes(), &self.bytes);
        let mut waiting = BinaryHeap::new();
        let propose = |waiting: &mut BinaryHeap<_>, parts: &Parts, at: usize| {
            if let Some(pair) = parts.pair(at)
                && let Some(merge) = self.merges.get(&pair)
            {
                // Equal ranks go from left to right.
                waiting.push(Reverse((merge.rank, at, pair, merge.token)));
            }
        };
        for at in 0..parts.0.len() {
            propose(&mut waiting, &parts, at);
        }
        while let Some(Reverse((_, at, pair, token))) = waiting.pop() {
            // A neighbour may have taken one of the two in the meantime.
            if parts.pair(at) == Some(pair) {
                parts.join(at, token);
                propose(&mut waiting, &parts, at);
                if let Some(before) = parts.0[at].previous {
                    propose(&mut waiting, &parts, before);
                }
            }
        }
        ids.extend(parts.0.iter().filter(|part| part.alive).map(|part| part.token));
    }
}

/// A word being merged: a linked list in a vector, so that joining two parts moves nothing.
struct Parts(Vec<Part>);

struct Part {
    token: u32,
    previous: Option<usize>,
    next: Option<usize>,
    /// Not yet swallowed by its left neighbour.
    alive: bool,
}

impl Parts {
    fn new(word: &[u8], bytes: &ByteTokens) -> Self {
        let count = word.len();
        let part = |(at, &byte): (usize, &u8)| {
            let next = (at + 1 < count).then_some(at + 1);
            let table = if next.is_some() { &bytes.inside } else { &bytes.last };
            Part { token: table[usize::from(byte)], previous: at.checked_sub(1), next, alive: true }
        };
        Self(word.iter().enumerate().map(part).collect())
    }

    /// The part at `at` and the one after it.
    fn pair(&self, at: usize) -> Option<Pair> {
        let part = self.0.get(at).filter(|part| part.alive)?;
        Some((part.token, self.0.get(part.next?)?.token))
    }

    /// Makes the part at `at` and the one after it one part.
    fn join(&mut self, at: usize, token: u32) {
        self.0[at].token = token;
        let Some(right) = self.0[at].next else { return };
        self.0[right].alive = false;
        let after = self.0[right].next;
        self.0[at].next = after;
        if let Some(after) = after {
            self.0[after].previous = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::text::vocabulary::read;

    /// The texts of the tokens of a word, under these merges.
    fn parts(merges: &str, word: &str) -> Vec<String> {
        let bpe = read(None, ("merges.txt", merges.as_bytes()), "").unwrap();
        let mut ids = Vec::new();
        bpe.encode_word(word, &mut ids);
        ids.iter().map(|&id| String::from_utf8_lossy(bpe.text(id).unwrap()).into_owned()).collect()
    }

    #[test]
    fn the_earliest_merge_goes_first_wherever_it_is() {
        assert_eq!(parts("b c\na b\n", "abcd"), ["a", "bc", "d "]);
        // At the end of a word `c` is another token.
        assert_eq!(parts("b c\na b\n", "abc"), ["ab", "c "]);
        assert_eq!(parts("b c</w>\na b\n", "abc"), ["a", "bc "]);
        assert_eq!(parts("a b\nb c</w>\n", "abc"), ["ab", "c "]);
        assert_eq!(parts("b c</w>\na bc</w>\n", "abc"), ["abc "]);
    }

    #[test]
    fn equal_pairs_go_from_left_to_right() {
        assert_eq!(parts("a a\n", "aaaab"), ["aa", "aa", "b "]);
        assert_eq!(parts("a a\n", "aaab"), ["aa", "a", "b "]);
        assert_eq!(parts("a a\na a</w>\naa aa\n", "aaaaa"), ["aaaa", "a "]);
    }

    #[test]
    fn characters_outside_ascii_are_their_bytes() {
        assert_eq!(parts("", "é").len(), 2);
        assert_eq!(parts("Ã ©</w>\n", "é"), ["é "]);
        assert_eq!(parts("", ""), [""; 0]);
    }
}
