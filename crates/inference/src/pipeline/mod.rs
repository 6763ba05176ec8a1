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
//!
//! The sampler, guidance and everything else between two denoiser calls run in host memory on every device: latents
//! are small, the numbers of a sampler are then the same everywhere, progress is what the device has really done, and
//! nothing that is needed again exists only on the device.
//!
//! The states of the latest prompts stay (`embeddings`), so that another picture with the same text needs no text encoder.
//! Where half precision overflows in the denoiser or the autoencoder, that stage is done again in `f32` (`finite`).
//!
//! So a run survives the loss of its GPU. The components are dropped, the device is opened anew for everybody who has
//! a handle (`Device::revive`), and the stage is done again: one denoiser call, or one picture to decode. A pipeline
//! keeps its files for that, and for [`LoadOptions::low_memory`], which loads each component when a run needs it and
//! drops it afterwards. That is off by default, since every run then reads the files again, but a device that has no room
//! for all of a model gets one component at a time. [`LoadOptions::offload`] streams the denoiser's blocks from disk besides.
//! [`Pipeline::needs`] says how much memory each way takes, before anything is loaded.

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
