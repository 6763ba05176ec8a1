//! Text-to-image inference: one definition of each model for every device, file format and weight type.
//!
//! Rooms, in the order in which a picture passes through them:
//! [`weights`] reads a model's files, [`families`] know what kind of model they make, [`text`] turns a prompt into token
//! ids, [`models`] are the networks, [`sampling`] walks from noise to latents, and [`pipeline`] joins them into a picture.
//! All of them compute with [`tensor`], which is the only room that knows what a device is.
//!
//! Everything is synchronous but two things: reading bytes from a [`weights::Source`] and reading a tensor back.

mod error;
pub mod families;
mod fields;
mod lock;
pub mod models;
pub mod pipeline;
mod python_json;
pub mod sampling;
pub mod tensor;
pub mod text;
pub mod weights;

pub use error::{Error, Result};
pub use tensor::{DType, Device, Tensor};
