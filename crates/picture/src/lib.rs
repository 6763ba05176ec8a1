//! Pictures without models, for the host, the page and the pipelines.
//!
//! [`Image`] holds 8-bit RGB pixels and converts them to and from a model's numbers, [`Image::resized`] and [`Mask`] follow
//! PIL and diffusers pixel for pixel, [`Image::decode`] and [`Image::encode`] read and write files, and [`Parameters`] is
//! the text in such a file that says how the picture was made.

mod blur;
mod codec;
mod error;
mod mask;
mod metadata;
mod pixels;
mod resize;
mod retouch;

pub use codec::{EncodeOptions, ImageFormat, Limits, encode_grey, read_metadata};
pub use error::{Error, Result};
pub use mask::{Mask, Redraw};
pub use metadata::Parameters;
pub use pixels::Image;
pub use resize::Filter;
pub use retouch::{Retouch, Retouching};
