//! The options of `easel serve`. Each overrides its key in the configuration file.

use super::{ClusterArgs, KeepingArgs};
use clap::{Args, ValueEnum};
use easel_host::serve::{NotTargets, Targets, UnloadAfter};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel serve
  easel serve --component easel_edge.wasm --model sdxl-turbo --data /var/lib/easel
  easel serve --models ~/models --unload-after 60
  easel serve --clip clip-vit-base-patch32 --sam mobile-sam
  easel serve --listen 0.0.0.0:8100 --api-key-file keys.toml --host-names draw.example.org
  easel serve --config easel.toml --site web/dist
  easel serve --caikit 127.0.0.1:8080 --grpc 127.0.0.1:8085

The configuration file is TOML. It has a key for each option, with underscores for hyphens; that of --models is
models_folder. Options and environment variables override it. These keys are only there:

  models                     other models that requests may name, a list
  loaded_models              how many models stay in memory at most [default: as many as fit; 1 on a GPU]
  connections                the most connections
  connections_per_address    the most from one address; 0 for no limit, as behind a proxy on another machine
  body_memory                bytes of memory that all large request bodies share
  header_timeout             seconds for a client to send a request's headers
  body_timeout               seconds between two pieces of a request body
  upload_timeout             seconds for a whole request body
  answer_timeout             seconds for a client to read a piece of an answer
  idle_timeout               seconds between two requests of a connection
  [limits]                   the most that one request may ask for: size, steps, count, prompt (characters), pixels
                             and all_steps (of all its pictures), init_pixels, analysis_pixels
  [components.MODEL]         components of a model from separate files, such as vae = \"my-vae.safetensors\"")]
pub(crate) struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8100]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Serve /metrics, /docs and /openapi.json on this address only [default: on the address of the other routes]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_ADMIN", hide_env_values = true)]
    pub(crate) admin: Option<SocketAddr>,
    /// Listen here too, for clients of Caikit's REST interface: they expect port 8080 [default: no other address]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_CAIKIT", hide_env_values = true)]
    pub(crate) caikit: Option<SocketAddr>,
    /// Serve gRPC, and listen here too, for Caikit's gRPC clients: they expect port 8085 [default: no gRPC]
    #[arg(long, value_name = "ADDRESS", env = "EASEL_GRPC", hide_env_values = true)]
    pub(crate) grpc: Option<SocketAddr>,
    /// The model for requests that do not name one [env: EASEL_MODEL or MODEL] [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// A folder of models that requests may name: each sub-folder in diffusers' layout and each checkpoint (safetensors,
    /// GGUF, ckpt) by its name, loaded when it is first asked for
    #[arg(long, value_name = "DIR", env = "EASEL_MODELS", hide_env_values = true)]
    pub(crate) models: Option<PathBuf>,
    /// How long a model may be idle before it leaves memory: 0 for not at all, or never [default: 600]
    #[arg(long, value_name = "SECONDS|never")]
    pub(crate) unload_after: Option<UnloadAfter>,
    #[command(flatten)]
    pub(crate) keeping: KeepingArgs,
    /// The model that scores texts for pictures: a name (see `easel models`), a folder or a hub repository, loaded when it
    /// is first asked for [default: none]
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_CLIP", hide_env_values = true)]
    pub(crate) clip: Option<String>,
    /// The model that cuts regions out of pictures: a name, a folder, a checkpoint or a hub repository [default: none]
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_SAM", hide_env_values = true)]
    pub(crate) sam: Option<String>,
    /// Where to compute: auto, cpu, gpu, cuda or metal; or GPUs by their numbers in `easel devices`, each with engines of
    /// its own, such as gpu:0,gpu:1 [default: auto]
    #[arg(long, value_name = "DEVICE", value_parser = device, env = "EASEL_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<String>,
    /// The folder for the database and the pictures [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "EASEL_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// A configuration file
    #[arg(long, value_name = "FILE", env = "EASEL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Serve the routes from this program itself, even if it contains a component
    #[arg(long)]
    pub(crate) native: bool,
    /// The component that serves the routes, as built by `cargo xtask edge` [default: the one in this program, if any]
    #[arg(long, value_name = "FILE", env = "EASEL_COMPONENT", hide_env_values = true, conflicts_with = "native")]
    pub(crate) component: Option<PathBuf>,
    /// The folder with the page for /, as built by `cargo xtask web` [default: the one in this program, or a small
    /// page]
    #[arg(long, value_name = "DIR", env = "EASEL_SITE", hide_env_values = true)]
    pub(crate) site: Option<PathBuf>,
    /// How many tasks may wait [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) capacity: Option<usize>,
    /// How many tasks run at once, on each GPU if --device lists several; 0 if other hosts of a shared queue draw
    /// [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) engines: Option<usize>,
    /// When to delete tasks that have ended: a cron expression, or never [default: 0 0 0 * * *]
    #[arg(long, value_name = "CRON")]
    pub(crate) clear_tasks: Option<String>,
    /// When to delete pictures: a cron expression, or never [default: 59 59 23 * * SUN]
    #[arg(long, value_name = "CRON")]
    pub(crate) clear_pictures: Option<String>,
    /// Web origins whose pages may call, separated by commas; also localhost, or * for all [default: localhost]
    #[arg(long, value_name = "ORIGINS", env = "EASEL_ORIGINS", hide_env_values = true)]
    pub(crate) origins: Option<String>,
    /// Host names that clients may use, separated by commas, or * for all; addresses and localhost always work
    /// [default: localhost]
    #[arg(long, value_name = "NAMES", env = "EASEL_HOST_NAMES", hide_env_values = true)]
    pub(crate) host_names: Option<String>,
    /// A TOML file of API keys; every request must carry one of them. `easel new-key` adds keys; the file is read again
    /// when it changes [default: no keys]
    #[arg(long, value_name = "FILE", env = "EASEL_API_KEY_FILE", hide_env_values = true)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A PEM file with the certificate for HTTPS and its intermediate certificates; read again when it changes
    #[arg(long, value_name = "FILE", env = "EASEL_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", env = "EASEL_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Accept other machines without API keys: anyone who can reach the address can use and delete everything
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
    /// The longest request body in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub(crate) body_limit: Option<usize>,
    /// Finish pictures even if the client that waits for them has disconnected
    #[arg(long)]
    pub(crate) keep_abandoned: bool,
    /// A file with the key of the internal route, which components on other hosts use [default: no such route]
    #[arg(long, value_name = "FILE", env = "EASEL_INTERNAL_KEY_FILE", hide_env_values = true)]
    pub(crate) internal_key_file: Option<PathBuf>,
    /// How many seconds running tasks have to finish when the service stops [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<u64>,
    /// The format of the log on standard error; RUST_LOG sets its level
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// A text that names devices, as it is.
pub(super) fn device(text: &str) -> Result<String, NotTargets> {
    text.parse().map(|_: Targets| text.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
