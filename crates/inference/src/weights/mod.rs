//! Weights: the sources of a model's bytes, and their formats.
//!
//! A [`Source`] is a file that is read by range. A [`TensorIndex`] is the table of contents of a checkpoint in any
//! format; loading it gives [`Weights`], the only thing that networks see. [`ComponentFiles`] is one component of a
//! model: a configuration with its tensors. [`families`](crate::families) know which components make up a model and how
//! original files name their tensors; nothing here names a network.

mod ckpt;
mod component;
mod decode;
#[cfg(feature = "native")]
mod directory;
#[cfg(feature = "native")]
mod file;
mod files;
pub mod gguf;
mod handle;
#[cfg(feature = "native")]
mod hub;
mod index;
mod jobs;
mod load;
mod malformed;
pub mod pickle;
mod random;
pub mod safetensors;
mod scaled;
mod send;
mod source;
#[cfg(feature = "native")]
mod stream;
#[cfg(not(feature = "native"))]
#[path = "no_stream.rs"]
mod stream;
mod view;
mod zip;

pub use component::{ComponentFiles, TokenizerFiles};
pub(crate) use component::{MAX_DOCUMENT, read_json};
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
pub use send::{BoxFuture, Shareable, WasmNotSend};
pub(crate) use source::read_all;
pub use source::{MemorySource, Source};
pub use stream::Part;
pub use view::{StoredType, TensorView};
