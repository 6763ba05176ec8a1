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

mod config;
mod devices;
mod engine;
mod error;
mod metrics;
mod models;
mod server;
mod service;
mod site;

pub use config::{Config, Overrides, Timeouts};
pub use devices::Devices;
pub use engine::ModelEngine;
pub use error::{Error, Result};
pub use metrics::Metrics;
pub use models::Models;
pub use server::{Server, router};
#[cfg(feature = "component")]
pub use server::{component_router, environment};
pub use service::{Parts, QueueService};
pub use site::Site;
