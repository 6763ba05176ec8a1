//! The options of `easel serve`. Each overrides its line of the configuration file.

use super::DeviceArg;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel serve
  easel serve --component easel_edge.wasm --model sdxl-turbo --data /var/lib/easel
  easel serve --listen 0.0.0.0:8100 --api-key-file keys.toml --host-names draw.example.org
  easel serve --config easel.toml --site web/dist

The configuration file is TOML. Its lines are named after the options, with underscores, and further: models (a list that
requests may name), loaded_models, connections, connections_per_address (0: no limit, as a proxy on another machine needs
it), body_memory (bytes that all large bodies share), and in seconds header_timeout, body_timeout (between two pieces),
upload_timeout (a whole body), answer_timeout (a piece of an answer), idle_timeout (between two requests); a table [limits] of
what one request may ask for: size, steps, count, prompt (characters), pixels and all_steps (of all its pictures), init_pixels;
and a table for each model that takes components from places of their own, [components.sdxl-turbo] for example, with lines
like vae = \"my-vae.safetensors\". Options and environment override it.")]
pub(crate) struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8100]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to serve /metrics, /docs and /openapi.json, which are then only there [default: where the rest is]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_ADMIN", hide_env_values = true)]
    pub(crate) admin: Option<SocketAddr>,
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
    /// Names that clients may call the server by, separated by commas, or * for all; addresses and localhost always work
    /// [default: localhost]
    #[arg(long, value_name = "NAMES", env = "EASEL_HOST_NAMES", hide_env_values = true)]
    pub(crate) host_names: Option<String>,
    /// A TOML file of API keys; every request must show one of them. `easel new-key` adds keys, and the file is read again
    /// when it changes [default: no keys]
    #[arg(long, value_name = "FILE", env = "EASEL_API_KEY_FILE", hide_env_values = true)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A certificate for HTTPS, PEM, with those between it and a known authority; read again when it changes
    #[arg(long, value_name = "FILE", env = "EASEL_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", env = "EASEL_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen to other machines although there are no keys: everybody who reaches the address can use and delete everything
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
    /// The longest request body in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub(crate) body_limit: Option<usize>,
    /// Draw what a client of /imagine waited for although it has left
    #[arg(long)]
    pub(crate) keep_abandoned: bool,
    /// A file with the key of the internal route, over which components on other hosts call [default: there is no such route]
    #[arg(long, value_name = "FILE", env = "EASEL_INTERNAL_KEY_FILE", hide_env_values = true)]
    pub(crate) internal_key_file: Option<PathBuf>,
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
