//! The options of `easel work`. Each overrides its key in the configuration file.

use super::serve::device;
use super::{ClusterArgs, KeepingArgs, LogFormat};
use clap::Args;
use easel_host::serve::UnloadAfter;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  export EASEL_STORE=postgres://easel:secret@db/easel EASEL_PICTURES=s3://easel/pictures
  easel serve --engines 0 --listen 0.0.0.0:8100 --api-key-file keys.toml     (HTTP only, as often as needed)
  easel work --device gpu                                                    (draws only, on each machine with a GPU)

All hosts need the same models under the same names. The configuration file is that of `easel serve`; keys about HTTP only
apply to the address of --admin.")]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The model for tasks that do not name one [env: EASEL_MODEL or MODEL] [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// A folder of models, as for `easel serve`
    #[arg(long, value_name = "DIR", env = "EASEL_MODELS", hide_env_values = true)]
    pub(crate) models: Option<PathBuf>,
    /// How long a model may be idle before it leaves memory: 0 for not at all, or never [default: 600]
    #[arg(long, value_name = "SECONDS|never")]
    pub(crate) unload_after: Option<UnloadAfter>,
    #[command(flatten)]
    pub(crate) keeping: KeepingArgs,
    /// Where to compute, as for `easel serve` [default: auto]
    #[arg(long, value_name = "DEVICE", value_parser = device, env = "EASEL_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<String>,
    /// Serve /metrics, /health/live and /health/ready on this address, and nothing else [default: no address]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_ADMIN", hide_env_values = true)]
    pub(crate) admin: Option<SocketAddr>,
    /// Host names that clients of --admin may use, as for `easel serve`; addresses always work [default: localhost]
    #[arg(long, value_name = "NAMES", env = "EASEL_HOST_NAMES", hide_env_values = true)]
    pub(crate) host_names: Option<String>,
    /// A TOML file of API keys, as for `easel serve`: /metrics then needs one of them [default: no keys]
    #[arg(long, value_name = "FILE", env = "EASEL_API_KEY_FILE", hide_env_values = true)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A configuration file
    #[arg(long, value_name = "FILE", env = "EASEL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// How many tasks run at once, on each GPU if --device lists several [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) engines: Option<usize>,
    /// How many seconds running tasks have to finish when the worker stops; then another host gets them [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<u64>,
    /// The format of the log on standard error; RUST_LOG sets its level
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}
