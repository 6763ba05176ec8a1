//! `easel serve`: turns options into a configuration and runs the service.

use crate::args::{LogFormat, ServeArgs};
use crate::terminal::note;
use anyhow::{Context, Result};
use axum::Router;
use easel_host::names;
use easel_host::serve::{
    Config, Overrides, QueueService, Server, Site, follow_keys, guarded, log, offer, router, trace,
};
use std::borrow::Cow;
use std::sync::Arc;

/// Serves until a signal stops the process.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    let component = component(args)?;
    let site = site(args)?;
    let config = configuration(args)?;
    let _log = log::start(args.log == LogFormat::Json)?;
    let _trace = trace::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    runtime.block_on(async {
        let server = Server::bind(&config).await?;
        let service = QueueService::open(&config)?;
        let router = match &component {
            Some(component) => component_routes(component, &service, &config)?,
            None => router(Arc::new(service.clone()), service.metrics(), &config),
        };
        let router = match site {
            Some(site) => site.with_offer(offer(&service, &config).await).before(router),
            None => router,
        };
        let router = guarded(router, &config);
        watch_access(&config);
        let address = server.address().unwrap_or(config.listen);
        let by = if component.is_some() { "the component" } else { "this program" };
        tracing::info!(%address, by, model = config.model, data = %config.data.display(), "listening");
        // For users, and for scripts that use port 0.
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        if let Some(admin) = server.admin_address() {
            note(format_args!("easel: metrics and documentation on {scheme}://{admin}"));
        }
        for (name, address) in server.other_addresses() {
            note(format_args!("easel: {name} on {scheme}://{address}"));
        }
        note(format_args!("easel: listening on {scheme}://{address}"));
        server.run(router, service, config.grace, stop_signal()?).await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Prints a warning about open access, and reloads the key file.
fn watch_access(config: &Config) {
    if config.is_open_to_every_page() {
        tracing::warn!(
            "--origins '*' without keys: every web page that somebody on this network opens can use this server, and read and \
             delete all that it has"
        );
    }
    if let (Some(path), Some(ring)) = (&config.api_key_file, &config.keys) {
        tokio::spawn(follow_keys(path.clone(), ring.clone()));
    }
}

/// The component that serves: the named one, or else the built-in one, if any.
fn component(args: &ServeArgs) -> Result<Option<Cow<'static, [u8]>>> {
    match &args.component {
        Some(path) => Ok(Some(std::fs::read(path).with_context(|| path.display().to_string())?.into())),
        None => Ok(COMPONENT.filter(|_| !args.native).map(Cow::Borrowed)),
    }
}

/// The files that the feature `bundled` builds in.
#[cfg(feature = "bundled")]
const COMPONENT: Option<&[u8]> =
    Some(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/target/wasm32-wasip2/release/easel_edge.wasm")));
#[cfg(not(feature = "bundled"))]
const COMPONENT: Option<&[u8]> = None;

/// The page: from the named folder, or else the built-in one, if any.
fn site(args: &ServeArgs) -> Result<Option<Site>> {
    match &args.site {
        Some(folder) => Ok(Some(Site::read(folder)?)),
        #[cfg(feature = "bundled")]
        None => Ok(Some(Site::bundled())),
        #[cfg(not(feature = "bundled"))]
        None => Ok(None),
    }
}

/// The routes, answered by a component that calls the service.
#[cfg(feature = "component")]
fn component_routes(component: &[u8], service: &QueueService, config: &Config) -> Result<Router> {
    use easel_host::component::{Limits, Program};
    use easel_host::serve::{component_router, environment};
    let host = Program::compile(component, Limits::default())?.host(Arc::new(service.clone()), environment(config));
    Ok(component_router(host, Arc::new(service.clone()), service.metrics(), config))
}

/// This binary cannot run components.
#[cfg(not(feature = "component"))]
fn component_routes(_component: &[u8], _service: &QueueService, _config: &Config) -> Result<Router> {
    Err(anyhow::anyhow!("this build cannot run components: build it with the cargo feature `component`"))
}

/// The settings of the file, overridden by those of options and environment.
fn configuration(args: &ServeArgs) -> Result<Config> {
    let file = args.config.as_deref().map(Overrides::read).transpose()?.unwrap_or_default();
    let options = Overrides {
        listen: args.listen,
        admin: args.admin,
        caikit: args.caikit,
        grpc: args.grpc,
        model: args.model.clone().or_else(names::from_environment),
        models_folder: args.models.clone(),
        unload_after: args.unload_after,
        low_memory: args.keeping.low_memory.then_some(true),
        offload: args.keeping.offload.then_some(true),
        clip: args.clip.clone(),
        sam: args.sam.clone(),
        device: args.device.clone(),
        data: args.data.clone(),
        store: args.cluster.store.clone().map(Into::into),
        pictures: args.cluster.pictures.clone().map(Into::into),
        lease: args.cluster.lease,
        capacity: args.capacity,
        engines: args.engines,
        clear_tasks: args.clear_tasks.clone(),
        clear_pictures: args.clear_pictures.clone(),
        origins: args.origins.clone(),
        host_names: args.host_names.clone(),
        api_key_file: args.api_key_file.clone(),
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        allow_anonymous: args.allow_anonymous.then_some(true),
        body_limit: args.body_limit,
        keep_abandoned: args.keep_abandoned.then_some(true),
        internal_key_file: args.internal_key_file.clone(),
        grace: args.grace,
        ..Overrides::default()
    };
    Ok(Config::resolve([file, options])?)
}

/// Resolves at Ctrl-C, SIGTERM or SIGHUP; a second Ctrl-C or SIGTERM ends the process at once.
#[cfg(unix)]
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut int = listen(SignalKind::interrupt())?;
    let mut term = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hangup.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            std::process::exit(crate::exit::Exit::Cancelled as i32);
        });
    })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is nothing to wait for, and the system ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
