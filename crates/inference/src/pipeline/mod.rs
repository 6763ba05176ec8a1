//! From a request to pictures: the loop around text, models and sampling.

mod codec;
mod image;
mod metadata;
mod progress;
pub mod request;

pub use codec::{EncodeOptions, ImageFormat, Limits, read_metadata};
pub use image::{Image, Mask};
pub use metadata::Parameters;
pub use progress::{CancelToken, Phase, Probe, Progress, Unwatched, Watcher};
pub use request::{InitImage, Prompt, PromptOptions, Request, SizeConditioning};
