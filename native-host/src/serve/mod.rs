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
//! `easel serve` opens a [`QueueService`] and gives it to the router, which runs either in the component (and calls it
//! through `easel:image/studio`) or in the program itself. The component is the one that `--component` names, else the
//! one that is built in (feature `bundled`, `cargo xtask serve`), else none; `--native` always means none. Running
//! components needs the cargo feature `component`, which includes a compiler and is therefore off by default. The page
//! at `/` is found in the same way (`--site`, `bundled`) and takes precedence over the routes; without it, the
//! contract's own small page is served.
//!
//! Instances of the component come from a pool and are reused. Each has limits on memory, tables, computing without a
//! pause (by epochs), time to answer and time to stream. It cannot open files or sockets. Requests may name only models
//! in the configuration, since a path from outside would be a way to read files.
//!
//! Requests are refused in three places: in front of everything ([`guarded`]: wrong host names, foreign pages), in the
//! router (the same, and keys), and around the routes (rate and concurrency of keys). SECURITY.md says what is
//! promised.
//!
//! With `--store` and `--pictures` (feature `cluster`), several hosts share one queue: any of them answers for any task. Those
//! with `--engines 0` only serve, and `easel work` is a [`QueueService`] whose server, if it has one, only shows metrics and
//! health ([`worker_router`]). `easel-jobs` says how.
//!
//! Stopping has four steps: accept no more connections, give running tasks a grace period to finish (after it they wait
//! for the next process), close the queue, which ends every stream, and close the connections.

mod access;
mod admission;
mod analyst;
mod answers;
mod attended;
mod config;
mod conversions;
mod devices;
mod drawing;
mod engine;
mod error;
#[cfg(feature = "grpc")]
pub mod grpc;
mod health;
pub mod log;
mod metrics;
mod models;
mod offer;
mod parts;
mod phases;
mod reading;
mod request_id;
mod server;
mod service;
mod sessions;
mod site;
mod store;
mod target;
#[cfg(feature = "otel")]
pub mod trace;
#[cfg(not(feature = "otel"))]
#[path = "no_trace.rs"]
pub mod trace;

pub use access::{append_key, follow_keys, guarded, key_entry, random_key};
pub use config::{Config, Network, Overrides, SecretUrl, Shared, Timeouts, TlsFiles, UnloadAfter};
pub use devices::Devices;
pub use engine::ModelEngine;
pub use error::{Error, Result};
pub use metrics::{Finish, Metrics};
pub use models::Models;
pub use offer::offer;
pub use parts::Parts;
pub use server::{Server, router, worker_router};
#[cfg(feature = "component")]
pub use server::{component_router, environment};
pub use service::QueueService;
pub use site::Site;
pub use target::{NotTargets, Targets};
