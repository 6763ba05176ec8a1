//! The state of one instance of the component: the service that answers it and WASI's clock, but no files or sockets.

use super::clients::Clients;
use super::limits::{Limits, Turn};
use super::studio::Linked;
use easel_contract::Service;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Engine, Store, StoreLimits, UpdateDeadline};
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
    pub(super) clients: Clients,
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
            clients: Clients::default(),
            turn: Turn::new(Instant::now()),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        store.call_hook(|mut store, crossing| {
            let turn = &mut store.data_mut().turn;
            match crossing {
                CallHook::CallingWasm => turn.enter(Instant::now()),
                CallHook::ReturningFromWasm => turn.leave(),
                CallHook::CallingHost | CallHook::ReturningFromHost => {}
            }
            Ok(())
        });
        store.set_epoch_deadline(1);
        let most = limits.computing;
        // At every tick the guest yields to others, and a guest that never pauses is stopped.
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

impl State {
    /// What answers the guest's calls of the interface.
    pub(super) fn studio(&mut self) -> Linked {
        Linked { service: Arc::clone(&self.service), clients: Some(self.clients.clone()) }
    }
}

/// The component answers requests and sends none.
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
