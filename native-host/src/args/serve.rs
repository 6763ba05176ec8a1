//! The options of `easel serve`. Each overrides its line of the configuration file.

use super::DeviceArg;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel serve
  easel serve --component easel_edge.wasm --listen 0.0.0.0:8100 --model sdxl-turbo --data /var/lib/easel
  easel serve --config easel.toml --site web/dist

The configuration file is TOML. Its lines are named after the options, with underscores, and further: models (a list that
requests may name), loaded_models, connections, connections_per_address (0: no limit, as a proxy on another machine needs
it), and in seconds header_timeout, body_timeout (between two pieces), upload_timeout (a whole body), answer_timeout (a piece
of an answer), idle_timeout (between two requests); and a table for each model that takes components from places of their
own, [components.sdxl-turbo] for example, with lines like vae = \"my-vae.safetensors\". Options and environment override it.")]
pub(crate) struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8100]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// The model that is used when a request names none [env: EASEL_MODEL or MODEL] [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Where to compute [default: auto]
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceArg>,
    /// The folder of the database and the pictures [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "EASEL_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// A configuration file
    #[arg(long, value_name = "FILE", env = "EASEL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Serve the routes from this program itself, even if it has a component
    #[arg(long)]
    pub(crate) native: bool,
    /// The component that serves the routes, as `cargo xtask edge` builds it [default: the one in this program, if any]
    #[arg(long, value_name = "FILE", env = "EASEL_COMPONENT", hide_env_values = true, conflicts_with = "native")]
    pub(crate) component: Option<PathBuf>,
    /// The folder of the page at /, as `cargo xtask web` builds it [default: the one in this program, or a small page]
    #[arg(long, value_name = "DIR", env = "EASEL_SITE", hide_env_values = true)]
    pub(crate) site: Option<PathBuf>,
    /// How many tasks may wait [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) capacity: Option<usize>,
    /// How many tasks run at once [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) engines: Option<usize>,
    /// When tasks that have ended are cleared: a cron expression, or never [default: 0 0 0 * * *]
    #[arg(long, value_name = "CRON")]
    pub(crate) clear_tasks: Option<String>,
    /// When pictures are cleared: a cron expression, or never [default: 59 59 23 * * SUN]
    #[arg(long, value_name = "CRON")]
    pub(crate) clear_pictures: Option<String>,
    /// Origins whose pages may call, separated by commas; also localhost, or * for all [default: localhost]
    #[arg(long, value_name = "ORIGINS", env = "EASEL_ORIGINS", hide_env_values = true)]
    pub(crate) origins: Option<String>,
    /// The longest request body in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub(crate) body_limit: Option<usize>,
    /// How long running tasks have to finish when the service stops, in seconds [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<u64>,
    /// How log lines are written to standard error; RUST_LOG says which
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
