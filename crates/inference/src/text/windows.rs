//! Prompts as windows with a weight per token: long prompts in several windows, and weighted ones, like AUTOMATIC1111
//! (<https://github.com/AUTOMATIC1111/stable-diffusion-webui>, `modules/sd_hijack_clip.py`).
//!
//! Every window is a complete prompt with start, end and padding. A full window ends after its last comma, if that is
//! among the last 20 tokens; `BREAK` always ends a window. The text encoder reads each window separately, the windows'
//! states are weighted ([`apply_weights`](super::apply_weights)) and then joined along the token axis. Prompt and
//! negative prompt need the same number of windows: see [`equalize_windows`].

use super::attention::{Fragment, parse_attention, parse_breaks};
use super::tokenizer::{Frame, Tokenizer, Truncation, check_length};
use crate::{Error, Result};

/// The largest number of windows: the denoiser attends to all of them in every step.
pub const MAX_WINDOWS: usize = 32;
/// How many tokens before its end a full window may be cut at a comma.
const COMMA_REACH: usize = 20;

/// How a prompt is read. With neither option, [`read_prompt`] gives the same ids as [`Tokenizer::encode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Read brackets as weights: see [`parse_attention`]. `BREAK` then only separates words, unless `long` is set.
    pub weighting: bool,
    /// Use several windows, and start a new one at `BREAK`, instead of cutting the prompt off.
    pub long: bool,
}

/// The tokens that the text encoder reads together.
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
    /// The part that did not fit, if any. Always `None` with [`Reading::long`].
    pub truncated: Option<Truncation>,
}

/// A token and its weight.
type Weighted = (u32, f32);

/// Reads a prompt.
///
/// Fails with [`Error::Invalid`] if the prompt is longer than [`MAX_PROMPT_BYTES`](super::MAX_PROMPT_BYTES), needs more
/// than [`MAX_WINDOWS`] windows or has weights that [`parse_attention`] refuses.
pub fn read_prompt(tokenizer: &Tokenizer, prompt: &str, reading: Reading) -> Result<PromptWindows> {
    check_length(prompt)?;
    let fragments = match reading {
        Reading { weighting: true, .. } => parse_attention(prompt)?,
        Reading { long: true, .. } => parse_breaks(prompt),
        Reading { .. } => vec![Fragment::Text { text: prompt.to_owned(), weight: 1.0 }],
    };
    let frame = tokenizer.frame();
    if frame.content() == 0 {
        return Err(Error::invalid("prompt", "the model's windows have no room for a prompt"));
    }
    if reading.long { pack(tokenizer, frame, &fragments) } else { single(tokenizer, frame, &fragments) }
}

/// Appends empty windows to the shorter prompts until all have as many as the longest.
pub fn equalize_windows(tokenizer: &Tokenizer, prompts: &mut [PromptWindows]) {
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
fn weighted(tokenizer: &Tokenizer, text: &str, weight: f64) -> Result<impl Iterator<Item = Weighted>> {
    Ok(tokenizer.tokenize(text)?.into_iter().map(move |id| (id, weight as f32)))
}

/// One window; the rest is cut off.
fn single(tokenizer: &Tokenizer, frame: Frame, fragments: &[Fragment]) -> Result<PromptWindows> {
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

/// As many windows as needed.
fn pack(tokenizer: &Tokenizer, frame: Frame, fragments: &[Fragment]) -> Result<PromptWindows> {
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
    /// The id of a comma, if it is a single token.
    comma: Option<u32>,
    /// The content of the current window.
    tokens: Vec<Weighted>,
    /// The position of its last comma.
    last_comma: Option<usize>,
    windows: Vec<Window>,
}

impl Packer {
    fn push(&mut self, token: Weighted) -> Result<()> {
        if self.tokens.len() >= self.frame.content() {
            // A comma belongs to the text before it, so it does not move that text into the next window.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{MAX_PROMPT_BYTES, PadToken, TokenizerFiles};
    use proptest::prelude::*;

    const LONG: Reading = Reading { weighting: false, long: true };
    const WEIGHTED: Reading = Reading { weighting: true, long: false };
    const BOTH: Reading = Reading { weighting: true, long: true };
    const START: u32 = 49406;
    const END: u32 = 49407;
    const A: u32 = 320;
    const CAT: u32 = 2368;
    const COMMA: u32 = 267;

    fn clip() -> Tokenizer {
        Tokenizer::clip(PadToken::Exclamation).unwrap()
    }

    fn windows(prompt: &str, reading: Reading) -> Vec<Window> {
        read_prompt(&clip(), prompt, reading).unwrap().windows
    }

    /// The number of prompt tokens in each window.
    fn fill(prompt: &str) -> Vec<usize> {
        let content = |window: &Window| window.ids.iter().position(|&id| id == END).unwrap() - 1;
        windows(prompt, LONG).iter().map(content).collect()
    }

    #[test]
    fn weights_stand_beside_their_ids() {
        let [window] = &windows("a (cat:1.5)!", BOTH)[..] else { panic!("one window") };
        assert_eq!(window.ids[..6], [START, A, CAT, 0, END, 0]);
        assert_eq!(window.weights[..6], [1.0, 1.0, 1.5, 1.0, 1.0, 1.0]);
        assert_eq!((window.ids.len(), window.weights.len()), (77, 77));
    }

    #[test]
    fn a_full_window_ends_after_a_nearby_comma() {
        assert_eq!(fill(&"cat ".repeat(75)), [75]);
        assert_eq!(fill(&"cat ".repeat(76)), [75, 1]);
        let at = |comma: usize, total: usize| fill(&format!("{}, {}", "cat ".repeat(comma), "cat ".repeat(total)));
        assert_eq!(at(60, 40), [61, 40]);
        // The comma is token 55 of 75: twenty from the end. One earlier is too far.
        assert_eq!(at(55, 40), [56, 40]);
        assert_eq!(at(54, 40), [75, 20]);
        // A comma that would be the first token of a window stays there.
        assert_eq!(fill(&format!("{}, {},", "cat ".repeat(70), "cat ".repeat(4))), [75, 1]);
        assert_eq!(windows(&format!("{},", "cat ".repeat(75)), LONG)[1].ids[..3], [START, COMMA, END]);
    }

    #[test]
    fn break_starts_a_window() {
        assert_eq!(fill("a cat BREAK a"), [2, 1]);
        assert_eq!(fill("BREAK a BREAK"), [0, 1]);
        assert_eq!(fill("a BREAK BREAK a"), [1, 0, 1]);
        assert_eq!(fill(""), [0]);
        // With a single window, it is a word, or with weights a separator.
        assert_eq!(windows("a BREAK a", Reading::default())[0].ids, clip().encode("a break a").unwrap().ids);
        assert_eq!(windows("a BREAK a", WEIGHTED)[0].ids, clip().encode("a a").unwrap().ids);
    }

    #[test]
    fn one_window_reports_what_it_cuts() {
        let prompt = read_prompt(&clip(), &format!("({}:1.2) dog", "cat ".repeat(75)), WEIGHTED).unwrap();
        assert_eq!(prompt.truncated, Some(Truncation { tokens: 1, text: "dog".into() }));
        assert_eq!(prompt.windows.len(), 1);
        assert_eq!(prompt.windows[0].weights[74..], [1.2, 1.2, 1.0]);
        let long = read_prompt(&clip(), &"cat ".repeat(200), LONG).unwrap();
        assert_eq!((long.windows.len(), long.truncated), (3, None));
    }

    #[test]
    fn prompt_and_negative_prompt_get_equally_many_windows() {
        let read = |prompt| read_prompt(&clip(), prompt, BOTH).unwrap();
        let mut prompts = [read("a BREAK (cat) BREAK a"), read("cat")];
        let before = prompts.clone();
        equalize_windows(&clip(), &mut prompts);
        assert_eq!(prompts[0], before[0]);
        assert_eq!(prompts[1].windows.len(), 3);
        assert_eq!(prompts[1].windows[0], before[1].windows[0]);
        assert_eq!(prompts[1].windows[2].ids, clip().encode("").unwrap().ids);
        assert_eq!(prompts[1].windows[2].weights, [1.0; 77]);
    }

    #[test]
    fn prompts_that_are_too_long_are_refused() {
        let error = |prompt: &str, reading| read_prompt(&clip(), prompt, reading).unwrap_err().to_string();
        let many = "prompt: needs more than 32 windows, expected at most 2400 tokens";
        assert_eq!(error(&"cat ".repeat(2401), LONG), many);
        assert_eq!(error(&"BREAK ".repeat(33), BOTH), many);
        assert_eq!(windows(&"cat ".repeat(2400), LONG).len(), 32);
        for reading in [Reading::default(), WEIGHTED, LONG] {
            let error = error(&"a".repeat(MAX_PROMPT_BYTES + 1), reading);
            assert_eq!(error, "prompt: 65537 bytes long, expected at most 65536");
        }
    }

    #[test]
    fn windows_without_room_are_refused() {
        let files = TokenizerFiles { merges: Some(b"a b\n"), ..TokenizerFiles::default() };
        let no_room = Tokenizer::from_files(&files, 2).unwrap();
        let error = read_prompt(&no_room, "a", LONG).unwrap_err().to_string();
        assert_eq!(error, "prompt: the model's windows have no room for a prompt");
    }

    proptest! {
        #[test]
        fn a_plain_reading_is_encode(prompt in ".{0,200}") {
            let encoded = clip().encode(&prompt).unwrap();
            let read = read_prompt(&clip(), &prompt, Reading::default()).unwrap();
            prop_assert_eq!(&read.windows[0].ids, &encoded.ids);
            prop_assert_eq!(read.truncated, encoded.truncated);
        }

        #[test]
        fn windows_hold_all_tokens_in_order(words in prop::collection::vec("cat|,|[a-z]{1,9}|\\(|:1.2\\)|\\]", 0..300)) {
            let prompt = words.join(" ");
            let fragments = parse_attention(&prompt).unwrap();
            let mut expected = Vec::new();
            for fragment in &fragments {
                let Fragment::Text { text, weight } = fragment else { continue };
                expected.extend(clip().tokenize(text).unwrap().into_iter().map(|id| (id, *weight as f32)));
            }
            let mut got = Vec::new();
            for window in windows(&prompt, BOTH) {
                prop_assert_eq!((window.ids.len(), window.weights.len(), window.ids[0]), (77, 77, START));
                let end = window.ids.iter().position(|&id| id == END).unwrap();
                got.extend(window.ids[1..end].iter().copied().zip(window.weights[1..end].iter().copied()));
            }
            prop_assert_eq!(got, expected);
        }
    }
}
