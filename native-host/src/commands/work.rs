//! `easel work`: draws the tasks of a queue that several hosts share. It answers nobody, except for metrics and health on an
//! address of their own.

use super::serve::stop_signal;
use crate::args::{LogFormat, WorkArgs};
use crate::terminal::note;
use anyhow::{Context, Result, bail};
use easel_host::names;
use easel_host::serve::{Config, Overrides, QueueService, Server, follow_keys, guarded, log, trace, worker_router};
use std::sync::Arc;

/// Draws until a signal stops the process.
pub(crate) fn work(args: &WorkArgs) -> Result<()> {
    let config = configuration(args)?;
    if config.shared.is_none() {
        bail!(
            "store is not set: a worker draws for a queue that several hosts share, so it needs --store and --pictures"
        );
    }
    if config.engines == 0 {
        bail!("engines must be between 1 and 64, got 0: a worker only draws");
    }
    let _log = log::start(args.log == LogFormat::Json)?;
    let _trace = trace::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        let admin = admin(&config);
        let server = match &admin {
            Some(admin) => Some(Server::bind(admin).await?),
            None => None,
        };
        let service = QueueService::open(&config)?;
        tracing::info!(model = config.model, engines = config.engines, "working");
        // These two are for users and scripts.
        if let Some(address) = server.as_ref().and_then(Server::address) {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            note(format_args!("easel: metrics and health on {scheme}://{address}"));
        }
        note(format_args!("easel: working"));
        match server.zip(admin) {
            Some((server, admin)) => watched(server, &admin, service, stop).await,
            None => {
                stop.await;
                tracing::info!("stopping");
                let grace = config.grace;
                tokio::task::spawn_blocking(move || service.shutdown(grace)).await?;
            }
        }
        tracing::info!("stopped");
        Ok(())
    })
}

/// The configuration of the server for operators, if there is to be one: it has no other address.
fn admin(config: &Config) -> Option<Config> {
    let listen = config.admin?;
    Some(Config { listen, admin: None, caikit: None, grpc: None, internal_key: None, ..config.clone() })
}

/// Shows metrics and health until the worker has stopped.
async fn watched(server: Server, admin: &Config, service: QueueService, stop: impl Future<Output = ()>) {
    if let (Some(path), Some(ring)) = (&admin.api_key_file, &admin.keys) {
        tokio::spawn(follow_keys(path.clone(), ring.clone()));
    }
    let routes = guarded(worker_router(Arc::new(service.clone()), service.metrics(), admin), admin);
    server.run(routes, service, admin.grace, stop).await;
}

/// The settings of the file, overridden by those of options and environment.
fn configuration(args: &WorkArgs) -> Result<Config> {
    let file = args.config.as_deref().map(Overrides::read).transpose()?.unwrap_or_default();
    let options = Overrides {
        store: args.cluster.store.clone().map(Into::into),
        pictures: args.cluster.pictures.clone().map(Into::into),
        lease: args.cluster.lease,
        model: args.model.clone().or_else(names::from_environment),
        models_folder: args.models.clone(),
        unload_after: args.unload_after,
        low_memory: args.keeping.low_memory.then_some(true),
        offload: args.keeping.offload.then_some(true),
        device: args.device.clone(),
        admin: args.admin,
        host_names: args.host_names.clone(),
        api_key_file: args.api_key_file.clone(),
        // Nobody can use or read anything here but numbers.
        allow_anonymous: Some(true),
        engines: args.engines,
        grace: args.grace,
        ..Overrides::default()
    };
    Ok(Config::resolve([file, options])?)
}
