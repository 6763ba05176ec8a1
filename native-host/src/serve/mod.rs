//! Easel as a service: the contract's [`Service`](easel_contract::Service) over the queue, the engines that draw, and
//! the server around them.
//!
//! ```no_run
//! # fn example() -> Result<(), easel_host::serve::Error> {
//! use easel_host::serve::{Config, Studio};
//!
//! let config = Config { data: "pictures".into(), ..Config::default() };
//! let studio = Studio::open(&config)?; // an `easel_contract::Service`: give it to a router, or to a component
//! # Ok(()) }
//! ```

mod config;
mod devices;
mod engine;
mod error;
mod metrics;
mod models;
mod server;
mod site;
mod studio;

pub use config::{Config, Timeouts, Unset};
pub use devices::Devices;
pub use engine::Painter;
pub use error::{Error, Result};
pub use metrics::Metrics;
pub use models::Models;
pub use server::{Server, router};
#[cfg(feature = "component")]
pub use server::{component_router, environment};
pub use site::Site;
pub use studio::{Parts, Studio};
