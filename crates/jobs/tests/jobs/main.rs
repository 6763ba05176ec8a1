//! The queue with engines that do as their requests say.

mod cancel;
mod engine;
mod faults;
mod queue;
mod shutdown;
mod watch;
