//! What is let in: nothing reaches the queue, the memory or a decoder that has not been checked and counted here.
//!
//! - `request` refuses, before it is queued, what an engine would refuse later: it knows every model by its configurations.
//! - `pictures` decodes pictures to start from, each once, on few threads and within a bound on pixels in all. What is
//!   queued is the picture in the size that is drawn, so that an engine decodes no large one.
//! - `bodies` sets memory aside for large bodies before they are read.

mod bodies;
mod pictures;
mod request;

pub(super) use bodies::{Budget, admit};
pub(super) use pictures::Pictures;
pub(super) use request::{Plan, check};
