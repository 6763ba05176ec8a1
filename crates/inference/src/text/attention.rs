//! Prompt weights in AUTOMATIC1111's notation
//! (<https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis>):
//!
//! | written | meaning |
//! | --- | --- |
//! | `(text)` | weight times 1.1 |
//! | `[text]` | weight divided by 1.1 |
//! | `(text:1.3)` | weight times 1.3 (round brackets only) |
//! | `\(`, `\)`, `\[`, `\]`, `\\` | the character itself; any other backslash is left out |
//! | `BREAK` | a new window begins |
//!
//! Brackets nest and their factors multiply. A bracket that is never closed counts up to the end of the prompt; a closing
//! one without an opening one is ordinary text, and so is `:1.3)` outside of round brackets. One thing is not as there:
//! `BREAK` works inside brackets too, where the original reads it as a word.

use crate::{Error, Result};

/// How deep brackets may nest: 1.1 to this power is past any use, and parsing takes this many steps per character.
const NESTING_MAX: usize = 100;
const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Fragment {
    /// Text of one weight; neighbours have different weights.
    Text {
        /// The text without the notation.
        text: String,
        /// Its weight; 1 is neutral.
        weight: f64,
    },
    /// `BREAK`: what follows goes into a new window.
    Break,
}

/// Splits a prompt into parts of equal weight.
///
/// Fails with [`Error::Invalid`] for a weight that is no number, as in `(a:1.2.3)`, and for brackets nested more than
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
        return Err(Error::invalid("prompt", format!("brackets make a weight of {weight}")));
    }
    Ok(merge(parser.fragments))
}

/// Splits a prompt at `BREAK` alone; every other character is text.
pub(super) fn parse_breaks(prompt: &str) -> Vec<Fragment> {
    let mut parser = Parser::default();
    parser.push_text(prompt);
    merge(parser.fragments)
}

#[derive(Default)]
struct Parser {
    fragments: Vec<Fragment>,
    /// For each open bracket, the fragment that it stands before.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Parser {
    /// Reads one mark or one run of text at the start of `rest`; returns how many bytes it has.
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
            _ => 1,
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

    /// A run of text, cut at every `BREAK` that is a word of its own; white space around it goes with it.
    fn push_text(&mut self, text: &str) {
        const BREAK: &str = "BREAK";
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut start = 0;
        for (at, _) in text.match_indices(BREAK) {
            let (before, after) = (&text[..at], &text[at + BREAK.len()..]);
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

/// The number in `:1.3)` at the start of `rest`, and the length of the whole; white space around the number is allowed.
fn weight_suffix(rest: &str) -> Option<(&str, usize)> {
    let after_colon = rest.strip_prefix(':')?.trim_start();
    let digits = after_colon.strip_prefix(['+', '-']).unwrap_or(after_colon);
    let after = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let closing = after.trim_start().strip_prefix(')')?;
    let number = &after_colon[..after_colon.len() - after.len()];
    (digits.len() > after.len()).then_some((number, rest.len() - closing.len()))
}

/// Multiplies the weights of all fragments from `start` on.
fn multiply(fragments: &mut [Fragment], start: usize, factor: f64) {
    for fragment in fragments.iter_mut().skip(start) {
        if let Fragment::Text { weight, .. } = fragment {
            *weight *= factor;
        }
    }
}

/// A weight that `f32` cannot hold.
fn not_finite(fragment: &Fragment) -> Option<f64> {
    match fragment {
        Fragment::Text { weight, .. } if !(*weight as f32).is_finite() => Some(*weight),
        _ => None,
    }
}

/// Joins neighbours of the same weight and drops empty ones.
fn merge(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut merged: Vec<Fragment> = Vec::new();
    for fragment in fragments {
        match (merged.last_mut(), fragment) {
            (_, Fragment::Text { text, .. }) if text.is_empty() => {}
            (Some(Fragment::Text { text, weight }), Fragment::Text { text: more, weight: same }) if *weight == same => {
                text.push_str(&more);
            }
            (_, fragment) => merged.push(fragment),
        }
    }
    merged
}
