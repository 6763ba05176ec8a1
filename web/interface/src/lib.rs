//! The HTTP interface inside a page: the contract's router over a service whose tasks and pictures live as long as the
//! worker. A page that speaks to a host or to an edge function can speak to its own worker in the same words.
//!
//! It is a module of its own, which the worker loads when it is first asked (`Easel.fetch`): no picture needs it. What
//! draws is the other module, and the worker stands between the two ([`Engine`]).

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "what uses the rest is for wasm32 alone"))]

#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod server;
mod store;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(target_arch = "wasm32")]
pub use engine::{Engine, Report};
#[cfg(target_arch = "wasm32")]
pub use server::{Answer, Server};
