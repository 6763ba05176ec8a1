//! The configuration of a deployment: a TOML file, overridden by environment and options, then checked as a whole.

mod files;
mod models;
mod network;
mod shared;

pub(super) use files::read_toml;
pub use models::UnloadAfter;
pub use network::{Network, Timeouts, TlsFiles};
pub use shared::{SecretUrl, Shared};

use super::access::read_keys;
use super::{Error, Result, Targets};
use crate::embedded;
use crate::model::ComponentPath;
use easel_contract::access::{HostNames, KeyRing};
use easel_contract::calls::Key;
use easel_contract::{Limits, Origins, Settings};
use easel_inference::pipeline::Keeping;
use easel_inference::tensor::DeviceKind;
use easel_jobs::Retention;
use files::read_key;
use models::component_paths;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The port that the pipeline family's clients expect.
const PORT: u16 = 8100;

/// The schedule that never runs.
const NEVER: &str = "never";

/// The configuration of a deployment, checked by [`Config::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to serve metrics and documentation; `None` serves them on the address of the other routes.
    pub admin: Option<SocketAddr>,
    /// Another address for the same routes. Caikit's clients expect port 8080.
    pub caikit: Option<SocketAddr>,
    /// Another address for the same routes; only if it is set, gRPC is served too. Caikit's gRPC clients expect port 8085.
    pub grpc: Option<SocketAddr>,
    /// The model for requests that do not name one.
    pub model: String,
    /// Other models that requests may name.
    pub models: Vec<String>,
    /// A folder whose sub-folders and files requests may name, each by its name.
    pub models_folder: Option<PathBuf>,
    /// Components that models take from separate files, by the model's name.
    pub components: BTreeMap<String, Vec<ComponentPath>>,
    /// The most models that stay loaded; `None` for as many as there is memory for, or one on a GPU, whose free memory is
    /// not known.
    pub loaded_models: Option<usize>,
    /// How the components of models are held; `None` for the fastest way that fits.
    pub keeping: Option<Keeping>,
    /// How long a model may be idle before it leaves memory.
    pub unload_after: UnloadAfter,
    /// The CLIP that scores texts for pictures; without it nothing does.
    pub clip: Option<String>,
    /// The SAM that cuts regions out of pictures; without it nothing does.
    pub sam: Option<String>,
    /// Where to compute.
    pub device: DeviceKind,
    /// The numbers of GPUs that have engines of their own; empty if all engines share one device.
    pub gpus: Vec<usize>,
    /// The folder of the database and the pictures.
    pub data: PathBuf,
    /// Where several hosts have their tasks and pictures; without it, this host's are in the data folder.
    pub shared: Option<Shared>,
    /// How long a host may be silent before its tasks are given to another one.
    pub lease: Duration,
    /// The most tasks that may wait.
    pub capacity: usize,
    /// How many tasks run at once, on each GPU if several are listed; 0 if other hosts draw.
    pub engines: usize,
    /// When tasks and pictures are deleted.
    pub retention: Retention,
    /// The web origins whose pages may call.
    pub origins: Origins,
    /// The host names that clients may use.
    pub host_names: HostNames,
    /// The file of the API keys.
    pub api_key_file: Option<PathBuf>,
    /// The file's keys; every request must carry one. Without keys, anyone who can reach the server may call.
    pub keys: Option<KeyRing>,
    /// The files for TLS; without them the server speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether other machines may call without a key.
    pub allow_anonymous: bool,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// The memory in bytes that all large bodies share while they are read.
    pub body_memory: usize,
    /// Limits on what one request may ask for.
    pub limits: Limits,
    /// The key of the internal route, which components on other hosts call; without it there is no such route.
    pub internal_key: Option<Key>,
    /// How long clients may take.
    pub timeouts: Timeouts,
    /// How many connections there may be.
    pub network: Network,
    /// Whether to finish pictures whose client has left.
    pub keep_abandoned: bool,
    /// How long running tasks have to finish when the service stops.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let settings = Settings::default();
        let data = directories::ProjectDirs::from("", "", "easel").map(|dirs| dirs.data_dir().to_owned());
        Self {
            listen: (Ipv4Addr::LOCALHOST, PORT).into(),
            admin: None,
            caikit: None,
            grpc: None,
            model: embedded::NAME.into(),
            models: Vec::new(),
            models_folder: None,
            components: BTreeMap::new(),
            loaded_models: None,
            keeping: None,
            unload_after: UnloadAfter::default(),
            clip: None,
            sam: None,
            device: DeviceKind::Auto,
            gpus: Vec::new(),
            data: data.unwrap_or_else(|| "easel-data".into()),
            shared: None,
            lease: Duration::from_secs(30),
            capacity: 1000,
            engines: 1,
            retention: Retention::default(),
            origins: settings.origins,
            host_names: settings.host_names,
            api_key_file: None,
            keys: settings.keys,
            tls: None,
            allow_anonymous: false,
            body_limit: settings.body_limit,
            body_memory: 256 << 20,
            limits: Limits::default(),
            internal_key: None,
            timeouts: Timeouts {
                header: Duration::from_secs(30),
                body: Duration::from_secs(30),
                upload: Duration::from_secs(600),
                answer: Duration::from_secs(30),
                idle: Duration::from_secs(60),
            },
            network: Network { connections: 2048, connections_per_address: 256 },
            keep_abandoned: false,
            grace: Duration::from_secs(30),
        }
    }
}

/// Settings that override earlier ones where present: a configuration file or command-line options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// See [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`Config::admin`].
    pub admin: Option<SocketAddr>,
    /// See [`Config::caikit`].
    pub caikit: Option<SocketAddr>,
    /// See [`Config::grpc`].
    pub grpc: Option<SocketAddr>,
    /// See [`Config::model`].
    pub model: Option<String>,
    /// See [`Config::models`].
    pub models: Option<Vec<String>>,
    /// See [`Config::models_folder`].
    pub models_folder: Option<PathBuf>,
    /// See [`Config::components`]: a table for each model, with a path for each component.
    pub components: Option<BTreeMap<String, BTreeMap<String, PathBuf>>>,
    /// See [`Config::loaded_models`].
    pub loaded_models: Option<usize>,
    /// See [`Config::keeping`]: one component at a time.
    pub low_memory: Option<bool>,
    /// See [`Config::keeping`]: the denoiser is read from disk during each step.
    pub offload: Option<bool>,
    /// See [`Config::unload_after`]: seconds, or `never`.
    pub unload_after: Option<UnloadAfter>,
    /// See [`Config::clip`].
    pub clip: Option<String>,
    /// See [`Config::sam`].
    pub sam: Option<String>,
    /// See [`Config::device`], by name, or GPUs by number: `gpu:0,gpu:1`.
    pub device: Option<String>,
    /// See [`Config::data`].
    pub data: Option<PathBuf>,
    /// See [`Shared::store`].
    pub store: Option<SecretUrl>,
    /// See [`Shared::pictures`].
    pub pictures: Option<SecretUrl>,
    /// See [`Config::lease`], in seconds.
    pub lease: Option<u64>,
    /// See [`Config::capacity`].
    pub capacity: Option<usize>,
    /// See [`Config::engines`].
    pub engines: Option<usize>,
    /// When tasks are deleted: a cron expression or `never`.
    pub clear_tasks: Option<String>,
    /// When pictures are deleted: a cron expression or `never`.
    pub clear_pictures: Option<String>,
    /// See [`Config::origins`]: `localhost`, `*` or origins separated by commas.
    pub origins: Option<String>,
    /// See [`Config::host_names`]: names separated by commas, or `*`.
    pub host_names: Option<String>,
    /// See [`Config::api_key_file`].
    pub api_key_file: Option<PathBuf>,
    /// See [`TlsFiles::certificate`].
    pub tls_cert: Option<PathBuf>,
    /// See [`TlsFiles::key`].
    pub tls_key: Option<PathBuf>,
    /// See [`Config::allow_anonymous`].
    pub allow_anonymous: Option<bool>,
    /// See [`Config::body_limit`].
    pub body_limit: Option<usize>,
    /// See [`Config::body_memory`].
    pub body_memory: Option<usize>,
    /// See [`Config::limits`]: a table.
    pub limits: Option<Limits>,
    /// The file with [`Config::internal_key`].
    pub internal_key_file: Option<PathBuf>,
    /// See [`Timeouts::header`], in seconds.
    pub header_timeout: Option<u64>,
    /// See [`Timeouts::body`], in seconds.
    pub body_timeout: Option<u64>,
    /// See [`Timeouts::upload`], in seconds.
    pub upload_timeout: Option<u64>,
    /// See [`Timeouts::answer`], in seconds.
    pub answer_timeout: Option<u64>,
    /// See [`Timeouts::idle`], in seconds.
    pub idle_timeout: Option<u64>,
    /// See [`Network::connections`].
    pub connections: Option<usize>,
    /// See [`Network::connections_per_address`].
    pub connections_per_address: Option<usize>,
    /// See [`Config::keep_abandoned`].
    pub keep_abandoned: Option<bool>,
    /// See [`Config::grace`], in seconds.
    pub grace: Option<u64>,
}

impl Overrides {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self> {
        read_toml(path)
    }
}

impl Config {
    /// The defaults, overridden by these settings, the later ones by precedence; checked.
    pub fn resolve(settings: impl IntoIterator<Item = Overrides>) -> Result<Self> {
        let mut config = Self::default();
        let mut store = None;
        let mut pictures = None;
        let mut low_memory = None;
        let mut offload = None;
        for mut layer in settings {
            // One URL may be in the file and the other in the environment.
            store = layer.store.take().or(store);
            pictures = layer.pictures.take().or(pictures);
            low_memory = layer.low_memory.or(low_memory);
            offload = layer.offload.or(offload);
            config.apply(layer)?;
        }
        config.keeping = Keeping::asked(low_memory == Some(true), offload == Some(true));
        config.shared = Shared::both(store, pictures)?;
        config.check()?;
        if let Some(path) = &config.api_key_file {
            config.keys = Some(KeyRing::new(read_keys(path)?));
        }
        Ok(config)
    }

    fn apply(&mut self, set: Overrides) -> Result<()> {
        if let Some(text) = set.device {
            let read = text.parse::<Targets>();
            let targets = read.map_err(|error| Error::Setting { field: "device", reason: error.to_string() })?;
            self.device = targets.kind;
            self.gpus = targets.gpus;
        }
        let never = |cron: String| (cron != NEVER).then_some(cron);
        // Parsing these cannot fail: invalid origins or names match nothing.
        let origins = set.origins.map(|text| infallible(text.parse()));
        let host_names = set.host_names.map(|text| infallible(text.parse()));
        put(&mut self.listen, set.listen);
        put(&mut self.admin, set.admin.map(Some));
        put(&mut self.caikit, set.caikit.map(Some));
        put(&mut self.grpc, set.grpc.map(Some));
        put(&mut self.model, set.model);
        put(&mut self.models, set.models);
        put(&mut self.models_folder, set.models_folder.map(Some));
        put(&mut self.components, set.components.map(component_paths));
        put(&mut self.loaded_models, set.loaded_models.map(Some));
        put(&mut self.unload_after, set.unload_after);
        put(&mut self.clip, set.clip.map(Some));
        put(&mut self.sam, set.sam.map(Some));
        put(&mut self.data, set.data);
        put(&mut self.lease, set.lease.map(Duration::from_secs));
        put(&mut self.capacity, set.capacity);
        put(&mut self.engines, set.engines);
        put(&mut self.retention.tasks, set.clear_tasks.map(never));
        put(&mut self.retention.pictures, set.clear_pictures.map(never));
        put(&mut self.origins, origins);
        put(&mut self.host_names, host_names);
        put(&mut self.api_key_file, set.api_key_file.map(Some));
        if let Some(tls) = TlsFiles::both(set.tls_cert, set.tls_key)? {
            self.tls = Some(tls);
        }
        put(&mut self.allow_anonymous, set.allow_anonymous);
        put(&mut self.body_limit, set.body_limit);
        put(&mut self.body_memory, set.body_memory);
        put(&mut self.limits, set.limits);
        put(&mut self.internal_key, set.internal_key_file.map(|path| read_key(&path).map(Some)).transpose()?);
        put(&mut self.timeouts.header, set.header_timeout.map(Duration::from_secs));
        put(&mut self.timeouts.body, set.body_timeout.map(Duration::from_secs));
        put(&mut self.timeouts.upload, set.upload_timeout.map(Duration::from_secs));
        put(&mut self.timeouts.answer, set.answer_timeout.map(Duration::from_secs));
        put(&mut self.timeouts.idle, set.idle_timeout.map(Duration::from_secs));
        put(&mut self.network.connections, set.connections);
        put(&mut self.network.connections_per_address, set.connections_per_address);
        put(&mut self.keep_abandoned, set.keep_abandoned);
        put(&mut self.grace, set.grace.map(Duration::from_secs));
        Ok(())
    }

    /// Fails on the first invalid setting, before anything is opened.
    pub fn check(&self) -> Result<()> {
        self.check_models()?;
        self.retention.check()?;
        if self.grpc.is_some() && !cfg!(feature = "grpc") {
            let reason = "this build has no gRPC: build it with the cargo feature `grpc`".to_owned();
            return Err(Error::Setting { field: "grpc", reason });
        }
        self.check_access()?;
        within("capacity", self.capacity, 1, 1_000_000)?;
        self.check_shared()?;
        within("loaded_models", self.loaded_models.unwrap_or(1), 1, 64)?;
        within("body_limit", self.body_limit, 1 << 10, 1 << 30)?;
        within("body_memory", self.body_memory, 1 << 20, 1 << 40)?;
        self.limits.rows().into_iter().try_for_each(|(field, value, low, high)| within(field, value, low, high))?;
        within("header_timeout", self.timeouts.header.as_secs(), 1, 3600)?;
        within("body_timeout", self.timeouts.body.as_secs(), 1, 3600)?;
        within("upload_timeout", self.timeouts.upload.as_secs(), 1, 24 * 3600)?;
        within("answer_timeout", self.timeouts.answer.as_secs(), 1, 3600)?;
        within("idle_timeout", self.timeouts.idle.as_secs(), 1, 3600)?;
        within("connections", self.network.connections, 16, 1_000_000)?;
        within("connections_per_address", self.network.connections_per_address, 0, 1_000_000)?;
        within("grace", self.grace.as_secs(), 0, 24 * 3600)
    }
}

fn infallible<T>(read: std::result::Result<T, Infallible>) -> T {
    read.unwrap_or_else(|never| match never {})
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn within<T: PartialOrd + std::fmt::Display>(field: &'static str, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::Setting { field, reason: format!("must be between {low} and {high}, got {value}") })
}

#[cfg(test)]
pub(in crate::serve) mod tests;
