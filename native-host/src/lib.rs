//! What an application that embeds Easel shares with the `easel` command: models by name, and Easel as a service.

// Whether a device may be shared between threads hangs on many types of wgpu, inside each other.
#![recursion_limit = "256"]

#[cfg(feature = "component")]
pub mod component;
pub mod embedded;
pub mod model;
pub mod names;
pub mod serve;
