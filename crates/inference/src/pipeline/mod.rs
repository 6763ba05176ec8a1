//! From a request to pictures: the loop around text, models and sampling.
//!
//! [`Pipeline::load`] puts a model's components together and [`Pipeline::generate`] draws the pictures of a [`Request`]:
//! prompts become conditioning, noise or a picture becomes the first latents, the loop asks the denoiser once per call and
//! the sampler for the next latents, and the autoencoder turns the last ones into pixels. A [`Watcher`] sees progress and
//! previews, a [`CancelToken`] stops the run between two steps.

mod codec;
mod conditioning;
mod defaults;
mod denoise;
mod generate;
mod image;
mod load;
mod metadata;
mod preview;
mod progress;
pub mod request;
mod run;
mod settings;
mod start;

pub use codec::{EncodeOptions, ImageFormat, Limits, read_metadata};
pub use defaults::Defaults;
pub use generate::Picture;
pub use image::{Image, Mask};
pub use load::{LoadOptions, Pipeline};
pub use metadata::Parameters;
pub use progress::{CancelToken, Phase, Probe, Progress, Unwatched, Watcher};
pub use request::{InitImage, Prompt, PromptOptions, Request, SizeConditioning};
