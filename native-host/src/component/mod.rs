//! The edge component in wasmtime: the interface that it imports, and a host for it.
//!
//! For an application with its own wasmtime, [`add_to_linker`] provides components with the interface
//! `easel:image/studio`, answered by any [`Service`](easel_contract::Service): a
//! [`QueueService`](crate::serve::QueueService), or the application's own implementation. The version of wasmtime is
//! part of this interface, so it is exported.
//!
//! [`Program`] and [`Host`] are a complete host: a component with limits that answers HTTP requests.
//! `examples/plugin.rs` uses them.

mod clients;
mod host;
mod limits;
mod state;
mod streams;
mod studio;

pub use host::{Host, Program};
pub use limits::Limits;
pub use studio::{StudioView, add_to_linker};
pub use wasmtime;
