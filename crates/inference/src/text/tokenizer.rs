//! What every tokenizer can do: the seam between the kinds of tokenizers and what is built on token ids.

use crate::{Error, Result};

/// The longest prompt, in bytes of UTF-8. A window holds a few hundred bytes; this is far above any prompt that a person
/// writes and low enough that every prompt takes milliseconds.
pub const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// A vocabulary with its rules. Implementations say how text becomes ids; what stands around them is the same for all.
pub trait Tokenizer: Send + Sync {
    /// The ids of a text, without start, end or padding, and not cut.
    ///
    /// Fails with [`Error::Invalid`] if the text is longer than [`MAX_PROMPT_BYTES`].
    fn tokenize(&self, text: &str) -> Result<Vec<u32>>;

    /// The text of ids, as far as they tell: normalisation is not undone. Ids that are none are left out.
    fn decode(&self, ids: &[u32]) -> String;

    /// What stands around the ids of a prompt.
    fn frame(&self) -> Frame;

    /// The ids of one window: start, as much of the prompt as there is room for, end, padding.
    fn encode(&self, prompt: &str) -> Result<Encoded> {
        let ids = self.tokenize(prompt)?;
        let frame = self.frame();
        let (kept, cut) = ids.split_at(ids.len().min(frame.content()));
        let truncated = (!cut.is_empty()).then(|| Truncation { tokens: cut.len(), text: self.decode(cut) });
        Ok(Encoded { ids: frame.wrap(kept), truncated })
    }

    /// [`encode`](Self::encode) for several prompts; all come out equally long.
    fn encode_batch(&self, prompts: &[&str]) -> Result<Vec<Encoded>> {
        prompts.iter().map(|prompt| self.encode(prompt)).collect()
    }
}

/// The tokens around a prompt's own, and the length that they fill up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first token, for vocabularies that have one (CLIP has, T5 has not).
    pub start: Option<u32>,
    /// The token after the last one of the prompt.
    pub end: u32,
    /// What fills the rest.
    pub pad: u32,
    /// How many tokens there are in all.
    pub length: usize,
}

impl Frame {
    /// How many tokens of a prompt there is room for.
    pub fn content(&self) -> usize {
        self.length.saturating_sub(1 + usize::from(self.start.is_some()))
    }

    /// `length` ids: start, `content`, end, padding. What is too much of `content` is left out.
    pub fn wrap(&self, content: &[u32]) -> Vec<u32> {
        let content = content.iter().copied().take(self.content());
        let mut ids: Vec<u32> = self.start.into_iter().chain(content).chain([self.end]).collect();
        ids.resize(self.length, self.pad);
        ids
    }
}

/// One window of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// [`Frame::length`] ids.
    pub ids: Vec<u32>,
    /// What had no room, if anything: worth a warning.
    pub truncated: Option<Truncation>,
}

/// The part of a prompt that the model does not get to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// How many tokens were cut off.
    pub tokens: usize,
    /// Their text, normalised.
    pub text: String,
}

impl std::fmt::Display for Truncation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.tokens == 1 { "" } else { "s" };
        write!(f, "the prompt is {} token{plural} too long; this part was cut off: {}", self.tokens, self.text)
    }
}

/// Refuses a prompt that is too long to be meant.
pub(super) fn check_length(prompt: &str) -> Result<()> {
    if prompt.len() <= MAX_PROMPT_BYTES {
        return Ok(());
    }
    let reason = format!("{} bytes long, expected at most {MAX_PROMPT_BYTES}", prompt.len());
    Err(Error::invalid("prompt", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_may_lack_a_start() {
        let frame = Frame { start: None, end: 1, pad: 0, length: 5 };
        assert_eq!(frame.wrap(&[7, 8]), [7, 8, 1, 0, 0]);
        assert_eq!(frame.wrap(&[7, 8, 9, 10, 11]), [7, 8, 9, 10, 1]);
        let frame = Frame { start: Some(2), ..frame };
        assert_eq!(frame.wrap(&[7, 8, 9, 10, 11]), [2, 7, 8, 9, 1]);
        assert_eq!(Frame { length: 1, ..frame }.wrap(&[7]), [2]);
    }

    #[test]
    fn a_truncation_is_one_readable_line() {
        let one = Truncation { tokens: 1, text: "cat".into() };
        assert_eq!(one.to_string(), "the prompt is 1 token too long; this part was cut off: cat");
    }
}
