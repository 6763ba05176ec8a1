//! From a prompt to token ids: tokenizers, windows and prompt weighting.
//!
//! A [`Tokenizer`] turns text into ids, with the rules of Hugging Face's `tokenizers` library. It is read from a
//! model's folder (`tokenizer.json`, or CLIP's `merges.txt` and `vocab.json`), or is the built-in one of CLIP or T5; a page
//! provides both ([`provide_clip_vocabulary`]). There are three ways to turn a prompt into a text encoder's input:
//! - [`Tokenizer::encode`]: one window, truncated to the model's positions, as in diffusers.
//! - [`read_prompt`] with [`Reading::long`]: as many windows as the prompt needs.
//! - [`read_prompt`] with [`Reading::weighting`]: also a weight per token, which [`apply_weights`] applies to the encoder's
//!   output.
//!
//! Nothing here depends on devices or files; only [`apply_weights`] computes with tensors.

mod apply;
mod attention;
mod builtin;
#[cfg(feature = "native")]
mod builtin_t5;
mod charsmap;
mod clip;
mod configuration;
mod encoder;
mod json;
mod post_processor;
mod special;
mod steps;
mod tokenizer;
mod vocabulary;
mod windows;

/// What `special_tokens_map.json` says beside T5's `tokenizer.json`.
pub(crate) const T5_SPECIAL_TOKENS: &str = r#"{"eos_token":"</s>","pad_token":"<pad>","unk_token":"<unk>"}"#;

pub use apply::apply_weights;
pub use attention::{Fragment, parse_attention};
pub use builtin::{PadToken, provide_clip_vocabulary};
pub use tokenizer::{Encoded, Frame, MAX_PROMPT_BYTES, Tokenizer, TokenizerFiles, Truncation};
pub use windows::{MAX_WINDOWS, PromptWindows, Reading, Window, equalize_windows, read_prompt};
