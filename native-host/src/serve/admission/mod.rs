//! Admission of requests: everything is checked and counted here before it takes memory, a decoder or a place in the
//! queue.
//!
//! - `request` refuses what an engine would refuse later; it knows every model by its configuration.
//! - `pictures` decodes initial pictures, each once, on few threads and within a limit on the total of pixels. They are
//!   queued in the size of the result, so that engines never decode a large one.
//! - `bodies` reserves memory for large bodies before they are read.

mod bodies;
mod pictures;
mod request;

pub(super) use bodies::Budget;
pub(super) use pictures::Pictures;
pub(super) use request::{Plan, check};
