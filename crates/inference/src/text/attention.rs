//! Prompt weights in AUTOMATIC1111's notation
//! (<https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis>):
//!
//! | written | meaning |
//! | --- | --- |
//! | `(text)` | weight times 1.1 |
//! | `[text]` | weight divided by 1.1 |
//! | `(text:1.3)` | weight times 1.3 (round brackets only) |
//! | `\(`, `\)`, `\[`, `\]`, `\\` | the character itself; any other backslash is dropped |
//! | `BREAK` | begins a new window |
//!
//! Brackets nest and their factors multiply. A bracket that is never closed extends to the end of the prompt; a closing
//! one without an opening one is ordinary text, and so is `:1.3)` outside round brackets. One difference from the
//! original: `BREAK` also works inside brackets, where the original reads it as a word.

use crate::{Error, Result};

/// How deep brackets may nest: 1.1 to this power is beyond any use, and parsing takes up to this many steps per
/// character.
const NESTING_MAX: usize = 100;
const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Fragment {
    /// Text with a single weight. It is tokenised by itself: a word ends where the fragment ends.
    Text {
        /// The text without the notation.
        text: String,
        /// Its weight; 1 is neutral.
        weight: f64,
    },
    /// `BREAK`: the next fragment begins a new window.
    Break,
}

/// Splits a prompt into fragments of equal weight.
///
/// Fails with [`Error::Invalid`] for a weight that is not a number, as in `(a:1.2.3)`, and for brackets nested more than
/// 100 deep.
pub fn parse_attention(prompt: &str) -> Result<Vec<Fragment>> {
    let mut parser = Parser::default();
    let mut rest = prompt;
    while let Some(first) = rest.chars().next() {
        let used = parser.step(rest, first)?;
        rest = &rest[used..];
    }
    for start in parser.round {
        multiply(&mut parser.fragments, start, ROUND);
    }
    for start in parser.square {
        multiply(&mut parser.fragments, start, SQUARE);
    }
    if let Some(weight) = parser.fragments.iter().find_map(not_finite) {
        return Err(Error::invalid("prompt", format!("brackets lead to a weight of {weight}, which is too large")));
    }
    Ok(merge(parser.fragments))
}

/// Splits a prompt only at `BREAK`; everything else is text.
pub(super) fn parse_breaks(prompt: &str) -> Vec<Fragment> {
    let mut parser = Parser::default();
    parser.push_text(prompt);
    merge(parser.fragments)
}

#[derive(Default)]
struct Parser {
    fragments: Vec<Fragment>,
    /// For each open bracket, the fragment that follows it.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Parser {
    /// Reads a mark or a run of text at the start of `rest` and returns its length in bytes.
    fn step(&mut self, rest: &str, first: char) -> Result<usize> {
        match first {
            '\\' => return Ok(self.escape(rest)),
            '(' => self.open(|parser| &mut parser.round)?,
            '[' => self.open(|parser| &mut parser.square)?,
            ')' => match self.round.pop() {
                Some(start) => multiply(&mut self.fragments, start, ROUND),
                None => self.push(")"),
            },
            ']' => match self.square.pop() {
                Some(start) => multiply(&mut self.fragments, start, SQUARE),
                None => self.push("]"),
            },
            ':' => return self.colon(rest),
            _ => {
                let end = rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len());
                self.push_text(&rest[..end]);
                return Ok(end);
            }
        }
        Ok(first.len_utf8())
    }

    fn escape(&mut self, rest: &str) -> usize {
        match rest.get(1..2) {
            Some(mark) if "\\()[]".contains(mark) => {
                self.push(mark);
                2
            }
            _ => {
                // Dropped, but it counts as a fragment.
                self.push("");
                1
            }
        }
    }

    fn open(&mut self, bracket: fn(&mut Self) -> &mut Vec<usize>) -> Result<()> {
        if self.round.len() + self.square.len() >= NESTING_MAX {
            return Err(Error::invalid("prompt", format!("brackets are nested more than {NESTING_MAX} deep")));
        }
        let start = self.fragments.len();
        bracket(self).push(start);
        Ok(())
    }

    /// `:1.3)` closes a round bracket; anything else after a colon is text.
    fn colon(&mut self, rest: &str) -> Result<usize> {
        let Some((number, length)) = weight_suffix(rest) else {
            self.push(":");
            return Ok(1);
        };
        match self.round.pop() {
            Some(start) => {
                let factor = number.parse().ok().filter(|factor: &f64| factor.is_finite());
                let reason = || format!("{number:?} is not a weight, expected a number as in (word:1.3)");
                multiply(&mut self.fragments, start, factor.ok_or_else(|| Error::invalid("prompt", reason()))?);
            }
            None => self.push(&rest[..length]),
        }
        Ok(length)
    }

    fn push(&mut self, text: &str) {
        self.fragments.push(Fragment::Text { text: text.to_owned(), weight: 1.0 });
    }

    /// Adds a run of text, split at every `BREAK` that is a separate word; white space around `BREAK` is dropped.
    fn push_text(&mut self, text: &str) {
        const BREAK: &str = "BREAK";
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut start = 0;
        for (at, _) in text.match_indices(BREAK) {
            let before = &text[..at];
            let after = &text[at + BREAK.len()..];
            if before.ends_with(is_word) || after.starts_with(is_word) {
                continue;
            }
            self.push(text[start..at].trim_end());
            self.fragments.push(Fragment::Break);
            start = text.len() - after.trim_start().len();
        }
        self.push(&text[start..]);
    }
}

/// The number in `:1.3)` at the start of `rest`, and the length of the suffix; white space around the number is
/// allowed.
fn weight_suffix(rest: &str) -> Option<(&str, usize)> {
    let after_colon = rest.strip_prefix(':')?.trim_start();
    let digits = after_colon.strip_prefix(['+', '-']).unwrap_or(after_colon);
    let after = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let closing = after.trim_start().strip_prefix(')')?;
    let number = &after_colon[..after_colon.len() - after.len()];
    (digits.len() > after.len()).then_some((number, rest.len() - closing.len()))
}

/// Multiplies the weights of all fragments starting at `start`.
fn multiply(fragments: &mut [Fragment], start: usize, factor: f64) {
    for fragment in fragments.iter_mut().skip(start) {
        if let Fragment::Text { weight, .. } = fragment {
            *weight *= factor;
        }
    }
}

/// The fragment's weight, if `f32` cannot represent it.
fn not_finite(fragment: &Fragment) -> Option<f64> {
    match fragment {
        Fragment::Text { weight, .. } if !(*weight as f32).is_finite() => Some(*weight),
        _ => None,
    }
}

/// Joins neighbours of the same weight, then drops empty fragments: one with another weight still separates its
/// neighbours.
fn merge(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut merged: Vec<Fragment> = Vec::new();
    for fragment in fragments {
        match (merged.last_mut(), fragment) {
            (Some(Fragment::Text { text, weight }), Fragment::Text { text: more, weight: same }) if *weight == same => {
                text.push_str(&more);
            }
            (_, fragment) => merged.push(fragment),
        }
    }
    merged.retain(|fragment| !matches!(fragment, Fragment::Text { text, .. } if text.is_empty()));
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(prompt: &str) -> Vec<(String, f64)> {
        let fragments = parse_attention(prompt).unwrap().into_iter().map(|fragment| match fragment {
            Fragment::Text { text, weight } => (text, weight),
            Fragment::Break => ("BREAK".into(), -1.0),
        });
        fragments.collect()
    }

    #[track_caller]
    fn check(prompt: &str, expected: &[(&str, f64)]) {
        let expected: Vec<_> = expected.iter().map(|(text, weight)| (text.to_string(), *weight)).collect();
        assert_eq!(parsed(prompt), expected, "{prompt}");
    }

    /// The examples in the original's documentation, to the last bit.
    #[test]
    fn the_examples_of_the_original() {
        check("normal text", &[("normal text", 1.0)]);
        check("an (important) word", &[("an ", 1.0), ("important", 1.1), (" word", 1.0)]);
        check("(unbalanced", &[("unbalanced", 1.1)]);
        check("\\(literal\\]", &[("(literal]", 1.0)]);
        check("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]);
        let weights = [1.5730000000000004, 0.55, 1.4641000000000006];
        check(
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            &[
                ("a ", 1.0),
                ("house", weights[0]),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", weights[1]),
                (", sun, ", 1.1),
                ("sky", weights[2]),
                (".", 1.1),
            ],
        );
    }

    #[test]
    fn brackets_nest_and_may_be_unbalanced() {
        check("[a [b]]", &[("a ", SQUARE), ("b", SQUARE * SQUARE)]);
        check("a) b] c:1.3)", &[("a) b] c:1.3)", 1.0)]);
        check("(a [b", &[("a ", ROUND), ("b", ROUND * SQUARE)]);
        check(
            "[a:1.3] (b: 1.5 ) (c:-.5) (d:x)",
            &[("a:1.3", SQUARE), (" ", 1.0), ("b", 1.5), (" ", 1.0), ("c", -0.5), (" ", 1.0), ("d:x", ROUND)],
        );
        check("", &[]);
        check("()[]", &[]);
        check("a()b(\\:0.5)c", &[("ab", 1.0), ("c", 1.0)]);
    }

    #[test]
    fn backslashes_escape_brackets_and_themselves() {
        check("\\(a\\) \\[b\\] \\\\ \\c \\", &[("(a) [b] \\ c ", 1.0)]);
        check("\\é(\\é)", &[("é", 1.0), ("é", ROUND)]);
    }

    #[test]
    fn break_is_a_separate_word() {
        check("a  BREAK b BREAK BREAK", &[("a", 1.0), ("BREAK", -1.0), ("b", 1.0), ("BREAK", -1.0), ("BREAK", -1.0)]);
        check("BREAKS xBREAK break BREAK_ ÉBREAK", &[("BREAKS xBREAK break BREAK_ ÉBREAK", 1.0)]);
        check("(a BREAK b:1.5)", &[("a", 1.5), ("BREAK", -1.0), ("b", 1.5)]);
        assert_eq!(parse_breaks("(a) BREAK"), [Fragment::Text { text: "(a)".into(), weight: 1.0 }, Fragment::Break]);
    }

    #[test]
    fn invalid_weights_are_refused() {
        let error = |prompt: &str| parse_attention(prompt).unwrap_err().to_string();
        assert_eq!(error("(a:1.2.3)"), "prompt: \"1.2.3\" is not a weight, expected a number as in (word:1.3)");
        assert_eq!(error("(a:.)"), "prompt: \".\" is not a weight, expected a number as in (word:1.3)");
        assert!(error(&format!("(a:{})", "9".repeat(400))).ends_with("expected a number as in (word:1.3)"));
        assert_eq!(
            error(&format!("(a:1{})", "0".repeat(39))),
            format!("prompt: brackets lead to a weight of 1{}, which is too large", "0".repeat(39))
        );
        assert_eq!(error(&"(".repeat(101)), "prompt: brackets are nested more than 100 deep");
        assert!(parse_attention(&"[".repeat(100)).is_ok());
    }

    proptest! {
        #[test]
        fn any_prompt_is_parsed_or_refused(prompt in "([()\\[\\]:\\\\]|BREAK|[0-9.+-]|.){0,40}") {
            if let Ok(fragments) = parse_attention(&prompt) {
                let text = fragments.iter().map(|f| if let Fragment::Text { text, .. } = f { text.len() } else { 5 });
                prop_assert!(text.sum::<usize>() <= prompt.len());
            }
        }

        #[test]
        fn escaped_text_comes_back(text in "[^B]{0,40}") {
            let escaped: String =
                text.chars().flat_map(|c| "()[]\\".contains(c).then_some('\\').into_iter().chain([c])).collect();
            let expected = if text.is_empty() { vec![] } else { vec![Fragment::Text { text, weight: 1.0 }] };
            prop_assert_eq!(parse_attention(&escaped).unwrap(), expected);
        }
    }
}
