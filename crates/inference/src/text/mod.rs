//! From a prompt to token ids: tokenizers, windows and prompt weighting.
//!
//! A [`Tokenizer`] turns text into ids, with the rules of Hugging Face's `tokenizers` library. It is read from a model's
//! folder (`tokenizer.json`, or CLIP's `merges.txt` and `vocab.json`), or is CLIP's, which is built in. Three ways lead
//! from a prompt to what a text encoder reads:
//! - [`Tokenizer::encode`]: one window, cut where the model's positions end. This is what diffusers does.
//! - [`read_prompt`] with [`Reading::long`]: as many windows as the prompt needs.
//! - [`read_prompt`] with [`Reading::weighting`]: a weight per token besides, which [`apply_weights`] applies to the
//!   encoder's output.
//!
//! Nothing here knows a device or a file; only [`apply_weights`] computes with tensors.

mod apply;
mod attention;
mod builtin;
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

pub use apply::apply_weights;
pub use attention::{Fragment, parse_attention};
pub use builtin::PadToken;
pub use tokenizer::{Encoded, Frame, MAX_PROMPT_BYTES, Tokenizer, TokenizerFiles, Truncation};
pub use windows::{MAX_WINDOWS, PromptWindows, Reading, Window, equalize_windows, read_prompt};
