//! From a request to pictures: the loop around text, models and sampling.
//!
//! [`Pipeline::load`] puts a model's components together and [`Pipeline::generate`] draws the pictures of a [`Request`]:
//! prompts become conditioning, noise or a picture becomes the first latents, the loop asks the denoiser once per call and
//! the sampler for the next latents, and the autoencoder turns the last ones into pixels. A [`Watcher`] sees progress and
//! previews, a [`CancelToken`] stops the run between two steps. What kind of model it is, the loop does not know: it asks
//! [`families`](crate::families) for everything that differs between models.
//!
//! ```no_run
//! # #[cfg(feature = "native")]
//! # async fn example() -> easel_inference::Result<()> {
//! use easel_inference::pipeline::{CancelToken, LoadOptions, Pipeline, Request, Unwatched};
//! use easel_inference::families::{ModelFiles, OpenOptions};
//! use easel_inference::Device;
//!
//! let mut watcher = Unwatched;
//! let cancel = CancelToken::default();
//! let files = ModelFiles::open_path("stable-diffusion-v1-5".as_ref(), &OpenOptions::default()).await?;
//! let pipeline = Pipeline::load(&files, &LoadOptions::new(Device::Cpu), &mut watcher, &cancel).await?;
//! let pictures = pipeline.generate(&Request::new("a red apple", None, 7, 1), &mut watcher, &cancel).await?;
//! # Ok(()) }
//! ```

mod components;
mod denoise;
mod generate;
mod load;
mod preview;
mod progress;
pub mod request;
mod run;
mod settings;
mod start;

pub use generate::Picture;
pub use load::{LoadOptions, Pipeline};
pub use progress::{CancelToken, Phase, Probe, Progress, Unwatched, Watcher};
pub use request::{InitImage, Prompt, PromptOptions, Request, SizeConditioning};
