//! The HTTP interface inside the page: the contract's router over a service whose tasks and pictures live as long as the
//! worker. A page that speaks to a host or to an edge function can speak to its own worker in the same words.

#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod server;
mod store;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(target_arch = "wasm32")]
pub use engine::{Engine, Report};
#[cfg(target_arch = "wasm32")]
pub use server::{Answer, Server};
