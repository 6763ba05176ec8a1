//! What an application that embeds Easel shares with the `easel` command: models by name, and Easel as a service.

// To see that a device may be shared between threads, the compiler walks through many nested types of wgpu.
#![recursion_limit = "256"]

#[cfg(feature = "component")]
pub mod component;
pub mod embedded;
pub mod model;
pub mod names;
pub mod serve;
