//! One file per command.

mod analyze;
mod bench;
mod devices;
mod export_protos;
mod generate;
mod health;
mod inspect;
#[cfg(feature = "mcp")]
mod mcp;
mod metadata;
mod models;
mod new_key;
mod pull;
mod quantize;
mod serve;
mod shell;
mod work;

pub(crate) use analyze::analyze;
pub(crate) use bench::bench;
pub(crate) use devices::devices;
pub(crate) use export_protos::export_protos;
pub(crate) use generate::generate;
pub(crate) use health::health;
pub(crate) use inspect::inspect;
#[cfg(feature = "mcp")]
pub(crate) use mcp::mcp;
pub(crate) use metadata::metadata;
pub(crate) use models::models;
pub(crate) use new_key::new_key;
pub(crate) use pull::pull;
pub(crate) use quantize::quantize;
pub(crate) use serve::serve;
pub(crate) use shell::{completions, man};
pub(crate) use work::work;
