//! What an application that embeds Easel shares with the `easel` command: models by name, and Easel as a service.

#[cfg(feature = "component")]
pub mod component;
pub mod embedded;
pub mod model;
pub mod names;
pub mod serve;
