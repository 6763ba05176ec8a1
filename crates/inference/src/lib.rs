//! Text-to-image inference: one definition of each model for every device, file format and weight type.
//!
//! Rooms, in the order in which a picture passes through them: [`weights`] reads a model's files, [`families`]
//! recognises the kind of model, [`text`] turns a prompt into token ids, [`models`] are the networks, [`sampling`]
//! turns noise into latents, and [`pipeline`] combines all of them to draw pictures. [`analysis`] says what is in a
//! picture, and where. All of them compute with [`tensor`], the only room that knows about devices.
//!
//! Everything is synchronous, except for reading bytes from a [`weights::Source`] and reading a tensor back.

pub mod analysis;
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
