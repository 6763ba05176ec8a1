//! `easel work`: draws the tasks of a queue that several hosts share, without a port of its own.

use super::serve::stop_signal;
use crate::args::{LogFormat, WorkArgs};
use crate::terminal::note;
use anyhow::{Context, Result, bail};
use easel_host::names;
use easel_host::serve::{Config, Overrides, QueueService, log, trace};

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
        let service = QueueService::open(&config)?;
        tracing::info!(model = config.model, engines = config.engines, "working");
        // For users and scripts.
        note(format_args!("easel: working"));
        stop.await;
        tracing::info!("stopping");
        let grace = config.grace;
        tokio::task::spawn_blocking(move || service.shutdown(grace)).await?;
        tracing::info!("stopped");
        Ok(())
    })
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
        engines: args.engines,
        grace: args.grace,
        ..Overrides::default()
    };
    Ok(Config::resolve([file, options])?)
}
