//! What one instance of the component owns: the service that answers it, WASI's clock, and no files or sockets.

use super::limits::{Limits, Turn};
use super::studio::StudioView;
use easel_contract::Service;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, StoreLimits, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// The most resources that a guest may hold: requests, bodies, header lists.
const RESOURCES: usize = 10_000;

pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoCalls,
    table: ResourceTable,
    limits: StoreLimits,
    service: Arc<dyn Service>,
    turn: Turn,
}

impl State {
    /// A store for one instance.
    pub(super) fn store(
        engine: &Engine,
        limits: &Limits,
        service: Arc<dyn Service>,
        environment: &[(String, String)],
    ) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let state = Self {
            wasi: WasiCtxBuilder::new().envs(environment).build(),
            http: WasiHttpCtx::new(),
            hooks: NoCalls,
            table,
            limits: limits.store(),
            service,
            turn: Turn::new(Instant::now()),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        let most = limits.computing;
        // At every tick the guest yields to others; one that never pauses is stopped.
        store.epoch_deadline_callback(move |mut store| {
            let took = store.data_mut().turn.seen(Instant::now());
            wasmtime::ensure!(took <= most, "the component computed for {} s without a pause", took.as_secs());
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl StudioView for State {
    fn studio(&mut self) -> Arc<dyn Service> {
        Arc::clone(&self.service)
    }
}

/// The component answers requests and makes none.
struct NoCalls;

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>);

impl WasiHttpHooks for NoCalls {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, HttpError>> + Send> {
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }
}
