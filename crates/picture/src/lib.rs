//! Pictures without models: what the host, the page and the pipelines share.
//!
//! [`Image`] holds 8-bit RGB pixels and converts them to and from the numbers that models work on, [`Image::resized`] and
//! [`Mask`] follow PIL and diffusers pixel for pixel, [`Image::decode`] and [`Image::encode`] read and write files, and
//! [`Parameters`] is the text inside such files that says how a picture was made.

mod codec;
mod error;
mod mask;
mod metadata;
mod pixels;
mod resize;

pub use codec::{EncodeOptions, ImageFormat, Limits, read_metadata};
pub use error::{Error, Result};
pub use mask::{Mask, Redraw};
pub use metadata::Parameters;
pub use pixels::Image;
