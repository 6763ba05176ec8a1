//! `easel mcp`: tools for agents over standard input and output, with an engine of its own.

use super::serve::stop_signal;
use crate::args::{LogFormat, McpArgs};
use anyhow::{Context, Result};
use easel_host::mcp::{Studio, serve_stdio};
use easel_host::names;
use easel_host::serve::{Config, Overrides, QueueService, log};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Serves until the client closes standard input, or a signal stops the process.
pub(crate) fn mcp(args: &McpArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let config = configuration(args, folder.path().to_owned())?;
    let _log = log::start(args.log == LogFormat::Json)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let ended = runtime.block_on(async {
        let service = QueueService::open(&config)?;
        let studio = Studio::new(Arc::new(service.clone()), &config);
        let ended = tokio::select! {
            ended = serve_stdio(studio) => ended,
            () = stop_signal()? => Ok(()),
        };
        // Nobody waits for a picture any more.
        tokio::task::spawn_blocking(move || service.shutdown(Duration::ZERO)).await?;
        ended.context("the client does not speak the Model Context Protocol")
    });
    // A thread may still wait for standard input.
    runtime.shutdown_background();
    ended
}

/// The settings of the file, overridden by options and environment.
fn configuration(args: &McpArgs, folder: PathBuf) -> Result<Config> {
    let file = args.config.as_deref().map(Overrides::read).transpose()?.unwrap_or_default();
    let options = Overrides {
        model: args.model.clone().or_else(names::from_environment),
        clip: args.clip.clone(),
        sam: args.sam.clone(),
        device: args.device.map(|device| device.name().to_owned()),
        data: Some(args.data.clone().unwrap_or(folder)),
        ..Overrides::default()
    };
    Ok(Config::resolve([file, options])?)
}
