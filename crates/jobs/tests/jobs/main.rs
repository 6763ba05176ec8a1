//! The queue, with engines controlled by their requests.

mod cancel;
mod engine;
mod faults;
mod home;
mod queue;
mod shutdown;
mod watch;
