//! Where a model's bytes come from and how they become tensors.
//!
//! A [`Source`] is a file that is read by range. A [`TensorIndex`] is the table of contents of a checkpoint in any format,
//! and loading it gives [`Weights`], which is all that models see. [`ModelFiles`] is a whole model, from a diffusers folder
//! or a single file: the same components with the same tensor names and the same configuration documents.

mod ckpt;
mod component;
mod decode;
mod detect;
#[cfg(feature = "native")]
mod directory;
#[cfg(feature = "native")]
mod file;
mod files;
mod handle;
#[cfg(feature = "native")]
mod hub;
mod index;
mod load;
mod malformed;
mod model_files;
mod names;
pub mod pickle;
pub mod safetensors;
mod send;
mod source;
mod view;
mod zip;

pub use component::{Component, ComponentFiles};
#[cfg(feature = "native")]
pub use directory::Directory;
#[cfg(feature = "native")]
pub use file::FileSource;
pub use files::{Files, MemoryFiles};
pub use handle::Weights;
#[cfg(feature = "native")]
pub use hub::{DownloadProgress, Hub, HubFiles};
pub use index::TensorIndex;
pub use load::PIECE;
pub use malformed::Malformed;
pub use model_files::{ModelFiles, OpenOptions, TokenizerFiles};
pub use send::{BoxFuture, WasmNotSend};
pub use source::{MemorySource, Source};
pub use view::{StoredType, TensorView};
