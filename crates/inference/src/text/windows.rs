//! Prompts as windows with a weight per token: long prompts in several windows, and weighted ones, in the manner of
//! AUTOMATIC1111 (<https://github.com/AUTOMATIC1111/stable-diffusion-webui>, `modules/sd_hijack_clip.py`).
//!
//! Every window is a prompt of its own, with start, end and padding. A window that is full ends after its last comma, if
//! that lies within the last 20 tokens; `BREAK` ends a window wherever it is. The text encoder reads each window alone,
//! the windows' states are weighted ([`apply_weights`](super::apply_weights)) and then joined along the token axis.
//! Prompt and negative prompt need the same number of windows: see [`equalize_windows`].

use super::attention::{Fragment, parse_attention, parse_breaks};
use super::tokenizer::{Frame, Tokenizer, Truncation, check_length};
use crate::{Error, Result};

/// The largest number of windows: the denoiser attends to all of them in every step.
pub const MAX_WINDOWS: usize = 32;
/// How far before the end of a window a comma may be for the window to end there.
const COMMA_REACH: usize = 20;

/// How a prompt is read. With neither, [`read_prompt`] gives what [`Tokenizer::encode`] gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Read brackets as weights: see [`parse_attention`]. Without `long`, `BREAK` only separates words then.
    pub weighting: bool,
    /// Use several windows, and start a new one at `BREAK`, instead of cutting the prompt off.
    pub long: bool,
}

/// What the text encoder reads at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// [`Frame::length`] ids.
    pub ids: Vec<u32>,
    /// A weight for each of them; 1 for start, end and padding.
    pub weights: Vec<f32>,
}

/// A whole prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptWindows {
    /// At least one window.
    pub windows: Vec<Window>,
    /// What had no room, if anything. Never with [`Reading::long`].
    pub truncated: Option<Truncation>,
}

/// A token and its weight.
type Weighted = (u32, f32);

/// Reads a prompt.
///
/// Fails with [`Error::Invalid`] if the prompt is longer than [`MAX_PROMPT_BYTES`](super::MAX_PROMPT_BYTES), needs more
/// than [`MAX_WINDOWS`] windows or has weights that [`parse_attention`] refuses.
pub fn read_prompt(tokenizer: &dyn Tokenizer, prompt: &str, reading: Reading) -> Result<PromptWindows> {
    check_length(prompt)?;
    let fragments = match reading {
        Reading { weighting: true, .. } => parse_attention(prompt)?,
        Reading { long: true, .. } => parse_breaks(prompt),
        Reading { .. } => vec![Fragment::Text { text: prompt.to_owned(), weight: 1.0 }],
    };
    let frame = tokenizer.frame();
    if frame.content() == 0 {
        return Err(Error::invalid("prompt", "the model's windows have no room for one"));
    }
    if reading.long { pack(tokenizer, frame, &fragments) } else { single(tokenizer, frame, &fragments) }
}

/// Appends empty windows to the shorter prompts until all have as many as the longest.
pub fn equalize_windows(tokenizer: &dyn Tokenizer, prompts: &mut [PromptWindows]) {
    let count = prompts.iter().map(|prompt| prompt.windows.len()).max().unwrap_or_default();
    let empty = Window::new(tokenizer.frame(), &[]);
    for prompt in prompts {
        prompt.windows.resize(count, empty.clone());
    }
}

impl Window {
    fn new(frame: Frame, content: &[Weighted]) -> Self {
        let ids: Vec<u32> = content.iter().map(|(id, _)| *id).collect();
        let start = frame.start.map(|_| 1.0);
        let mut weights: Vec<f32> = start.into_iter().chain(content.iter().map(|(_, weight)| *weight)).collect();
        weights.resize(frame.length, 1.0);
        Self { ids: frame.wrap(&ids), weights }
    }
}

/// The tokens of a fragment with its weight.
fn weighted(tokenizer: &dyn Tokenizer, text: &str, weight: f64) -> Result<impl Iterator<Item = Weighted>> {
    Ok(tokenizer.tokenize(text)?.into_iter().map(move |id| (id, weight as f32)))
}

/// One window; the rest is cut off.
fn single(tokenizer: &dyn Tokenizer, frame: Frame, fragments: &[Fragment]) -> Result<PromptWindows> {
    let mut tokens: Vec<Weighted> = Vec::new();
    for fragment in fragments {
        if let Fragment::Text { text, weight } = fragment {
            tokens.extend(weighted(tokenizer, text, *weight)?);
        }
    }
    let (kept, cut) = tokens.split_at(tokens.len().min(frame.content()));
    let text = || tokenizer.decode(&cut.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let truncated = (!cut.is_empty()).then(|| Truncation { tokens: cut.len(), text: text() });
    Ok(PromptWindows { windows: vec![Window::new(frame, kept)], truncated })
}

/// As many windows as it takes.
fn pack(tokenizer: &dyn Tokenizer, frame: Frame, fragments: &[Fragment]) -> Result<PromptWindows> {
    let comma = match *tokenizer.tokenize(",")? {
        [comma] => Some(comma),
        _ => None,
    };
    let mut packer = Packer { frame, comma, tokens: Vec::new(), last_comma: None, windows: Vec::new() };
    for fragment in fragments {
        match fragment {
            Fragment::Break => packer.finish_window()?,
            Fragment::Text { text, weight } => {
                weighted(tokenizer, text, *weight)?.try_for_each(|token| packer.push(token))?;
            }
        }
    }
    if !packer.tokens.is_empty() || packer.windows.is_empty() {
        packer.finish_window()?;
    }
    Ok(PromptWindows { windows: packer.windows, truncated: None })
}

struct Packer {
    frame: Frame,
    /// The id of a comma, if a comma is one token.
    comma: Option<u32>,
    /// The content of the window that is being filled.
    tokens: Vec<Weighted>,
    /// Where the last comma in it is.
    last_comma: Option<usize>,
    windows: Vec<Window>,
}

impl Packer {
    fn push(&mut self, token: Weighted) -> Result<()> {
        if self.tokens.len() >= self.frame.content() {
            // A comma belongs to what stands before it and moves nothing along.
            let comma =
                self.last_comma.filter(|at| Some(token.0) != self.comma && self.tokens.len() - at <= COMMA_REACH);
            let moved = comma.map(|at| self.tokens.split_off(at + 1)).unwrap_or_default();
            self.finish_window()?;
            self.tokens = moved;
        }
        if Some(token.0) == self.comma {
            self.last_comma = Some(self.tokens.len());
        }
        self.tokens.push(token);
        Ok(())
    }

    fn finish_window(&mut self) -> Result<()> {
        if self.windows.len() == MAX_WINDOWS {
            let limit = MAX_WINDOWS * self.frame.content();
            let reason = format!("needs more than {MAX_WINDOWS} windows, expected at most {limit} tokens");
            return Err(Error::invalid("prompt", reason));
        }
        self.windows.push(Window::new(self.frame, &self.tokens));
        self.tokens.clear();
        self.last_comma = None;
        Ok(())
    }
}
