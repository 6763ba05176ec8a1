//! One file per command.

mod bench;
mod devices;
mod generate;
mod inspect;
mod metadata;
mod models;
mod new_key;
mod pull;
mod quantize;
mod serve;
mod shell;

pub(crate) use bench::bench;
pub(crate) use devices::devices;
pub(crate) use generate::generate;
pub(crate) use inspect::inspect;
pub(crate) use metadata::metadata;
pub(crate) use models::models;
pub(crate) use new_key::new_key;
pub(crate) use pull::pull;
pub(crate) use quantize::quantize;
pub(crate) use serve::serve;
pub(crate) use shell::{completions, man};
