//! Transcripts of the HTTP interface: requests and expected answers, played against any server.
//!
//! README.md beside this crate describes the format of the files in `transcripts/`.

mod memory;
mod pattern;
mod picture;
mod player;
mod transcript;

pub use memory::MemoryService;
pub use player::{Client, play};
pub use transcript::{Setup, Transcript, all};
