//! From a request to pictures: the loop around text, models and sampling.
//!
//! [`Pipeline::load`] puts a model's components together and [`Pipeline::generate`] draws the pictures of a
//! [`Request`]: prompts become conditioning, noise or a picture becomes the first latents, the loop alternates between
//! denoiser and sampler, and the autoencoder turns the last latents into pixels. A [`Watcher`] sees progress and
//! previews, a [`CancelToken`] stops the run between two steps. The loop does not know the kind of model;
//! [`families`](crate::families) handle everything that differs between models.
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
//!
//! The sampler, guidance and everything else between two denoiser calls run in host memory on every device. Latents are
//! small, the sampler's numbers are then the same on all devices, progress is only reported for finished work, and no
//! data that is needed again exists only on the device.
//!
//! The states of the latest prompts are kept (`embeddings`), so that another picture with the same text needs no text
//! encoder. If half precision overflows in the denoiser or the autoencoder, the stage is repeated in `f32` (`finite`).
//!
//! For this reason a run survives the loss of its GPU (`components`). [`LoadOptions::low_memory`] loads each component
//! when a run needs it, and [`LoadOptions::offload`] also streams the denoiser's blocks from disk. [`Pipeline::needs`]
//! computes how much memory each way takes, before anything is loaded.

mod components;
mod denoise;
mod description;
mod embeddings;
mod finite;
mod generate;
mod load;
mod plan;
mod preview;
mod progress;
pub mod request;
mod run;
mod settings;
mod start;

pub use description::{Description, StartPlan};
pub use generate::Picture;
pub use load::{LoadOptions, Pipeline};
pub use plan::{ComponentNeeds, Keeping, Needs, gibibytes};
pub use progress::{CancelToken, Phase, Probe, Progress, Unwatched, Watcher};
pub use request::{InitImage, Prompt, PromptOptions, Request, SizeConditioning, SkipLayers};
