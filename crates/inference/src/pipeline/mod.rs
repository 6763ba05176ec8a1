//! From a request to pictures: the loop around text, models and sampling.

mod image;
mod progress;
pub mod request;

pub use image::Image;
pub use progress::{CancelToken, Phase, Probe, Progress, Unwatched, Watcher};
pub use request::{InitImage, Prompt, PromptOptions, Request, SizeConditioning};
