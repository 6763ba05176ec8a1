//! Easel as a service: the contract's [`Service`](easel_contract::Service) over the queue, the engines that draw, and
//! the server around them.
//!
//! ```no_run
//! # fn example() -> Result<(), easel_host::serve::Error> {
//! use easel_host::serve::{Config, QueueService};
//!
//! let config = Config { data: "pictures".into(), ..Config::default() };
//! // An `easel_contract::Service`: give it to a router, or to a component.
//! let service = QueueService::open(&config)?;
//! # Ok(()) }
//! ```
//!
//! `easel serve` opens a [`QueueService`] and gives it to the router: in the component, which asks it through
//! `easel:image/studio`, or in the program itself. It takes the component that `--component` names, else the one that
//! was built in (feature `bundled`, `cargo xtask serve`), else none; `--native` takes none in any case. Running
//! components is the cargo feature `component`, which brings a compiler along and is therefore off by default. The
//! page at `/` is found in the same way (`--site`, `bundled`) and stands before the routes; without it the contract's
//! own small page is there.
//!
//! Instances of the component come from a pool and are reused. Each has limits on memory, tables, computing without a
//! pause (by epochs), time to answer and time to stream. It may open no file and no socket. Requests may name only
//! models that the configuration names: a path from outside would be a way to read files.
//!
//! Requests are refused in three places: in front of everything ([`guarded`]: names of the server, foreign pages), in the
//! router (the same, and keys), and around the routes for what keys may ask at once and in a minute. SECURITY.md says what
//! is promised.
//!
//! To stop is to stop accepting, let running tasks finish within a grace (then they wait for the next process), close
//! the queue, which ends every stream, and close connections.

mod access;
mod admission;
mod answers;
mod attended;
mod config;
mod conversions;
mod devices;
mod engine;
mod error;
mod health;
pub mod log;
mod metrics;
mod models;
mod parts;
mod reading;
mod server;
mod service;
mod site;

pub use access::{append_key, follow_keys, guarded, key_entry, random_key};
pub use config::{Config, Network, Overrides, Timeouts, TlsFiles};
pub use devices::Devices;
pub use engine::ModelEngine;
pub use error::{Error, Result};
pub use metrics::Metrics;
pub use models::Models;
pub use parts::Parts;
pub use server::{Server, router};
#[cfg(feature = "component")]
pub use server::{component_router, environment};
pub use service::QueueService;
pub use site::Site;
