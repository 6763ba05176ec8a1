//! The library for applications that embed Easel: models by name, and Easel as a service.

// To see that a device may be shared between threads, the compiler walks through many nested types of wgpu.
#![recursion_limit = "256"]

#[cfg(feature = "component")]
pub mod component;
pub mod embedded;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod model;
pub mod names;
pub mod overlay;
pub mod protos;
pub mod serve;
mod text_to_image;

pub use text_to_image::{CaptionedImage, Output, RunOptions, TextToImage};
