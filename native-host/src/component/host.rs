//! A component that answers HTTP requests: compiled and linked once, instantiated from a pool, reused within limits.
//! Follows `wasmtime serve`.

use super::limits::{Limits, TICK};
use super::state::State;
use super::studio;
use crate::serve::Error;
use axum::body::{Body, Bytes};
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use easel_contract::Service;
use easel_contract::access::authority;
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::time::{Duration, Sleep, sleep};
use wasmtime::component::{Component, GuestTaskId, Linker};
use wasmtime::{Engine, Result, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept,
    WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

/// How much longer than its limit an instance may take to answer, so that the request fails before the whole instance
/// is stopped.
const LATE: Duration = Duration::from_secs(1);

/// What wasmtime says of a worker that ended neither by itself nor with a trap.
const DROPPED: &str = "worker panicked";

/// A component, compiled and linked.
pub struct Program {
    engine: Engine,
    instance: ServicePre<State>,
    limits: Limits,
}

impl Program {
    /// Compiles a component. Fails if the bytes are not a component, or if it imports anything but WASI and `easel:image/studio` or
    /// answers no HTTP requests.
    pub fn compile(component: &[u8], limits: Limits) -> Result<Self, Error> {
        // wasmtime's errors have causes, which are added to the line.
        Self::link(component, limits).map_err(|error| Error::Component { reason: format!("{error:#}") })
    }

    fn link(component: &[u8], limits: Limits) -> Result<Self> {
        let engine = Engine::new(&limits.pooling()).or_else(|error| {
            tracing::warn!(%error, "no pool of instances: each is allocated on demand");
            Engine::new(&Limits::on_demand())
        })?;
        let component = Component::new(&engine, component)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        studio::link(&mut linker, State::studio)?;
        let instance = ServicePre::new(linker.instantiate_pre(&component)?)?;
        tick(&engine)?;
        Ok(Self { engine, instance, limits })
    }

    /// A host whose instances call this service. `environment` is the only part of this process that they see.
    pub fn host(&self, service: Arc<dyn Service>, environment: Vec<(String, String)>) -> Host {
        let engine = self.engine.clone();
        let limits = self.limits;
        let instance = self.instance.clone();
        Host::new(Pool { engine, instance, service, environment, limits })
    }
}

/// A component that answers HTTP requests: a handle, cheaply cloned.
#[derive(Clone)]
pub struct Host {
    handler: ProxyHandler<Pool>,
    pool: Arc<Pool>,
}

impl Host {
    fn new(pool: Pool) -> Self {
        Self { handler: ProxyHandler::new(pool.clone()), pool: Arc::new(pool) }
    }

    /// The same component with new instances, which see another environment. Existing instances end when they are no
    /// longer needed.
    pub fn with_environment(&self, environment: Vec<(String, String)>) -> Self {
        Self::new(Pool { environment, ..Pool::clone(&self.pool) })
    }

    /// Sends a request to the component. Its faults are logged and answered with a status of 500 or more.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let request = match with_authority(request) {
            Ok(request) => request.map(|body| body.map_err(unreadable).boxed_unsync()),
            Err(error) => return answer(error.status_and_code().0, &error.to_string()),
        };
        // Dropped if the client disconnects before the answer begins.
        let (waiting, answered) = oneshot::channel();
        let answer = self.handler.handle(answered, request).await;
        let _ = waiting.send(());
        match answer {
            Ok(response) => response.map(Body::new),
            Err(error) => failed(&error),
        }
    }
}

/// The error for a body that ended early.
fn unreadable(error: axum::Error) -> wasmtime_wasi_http::Error {
    tracing::debug!(%error, "a body ended early");
    wasmtime_wasi_http::Error::HttpProtocolError
}

fn failed(error: &wasmtime::Error) -> Response<Body> {
    tracing::error!(error = format!("{error:#}"), "the component failed");
    let (status, message) = if error.is::<ExpirationError>() {
        (StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time")
    } else if error.is::<InstantiationError<oneshot::Receiver<()>>>() {
        (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "the component failed")
    };
    answer(status, message)
}

fn answer(status: StatusCode, message: &str) -> Response<Body> {
    let body = Bytes::from(format!("{{\"detail\":\"{message}\"}}"));
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The request with the server's name in its URI: WASI reads it there and removes the `host` header.
fn with_authority(mut request: Request<Body>) -> Result<Request<Body>, easel_contract::Error> {
    if let Some(authority) = authority(request.uri(), request.headers())? {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.authority = Some(authority);
        parts.scheme = parts.scheme.or(Some(Scheme::HTTP));
        parts.path_and_query = parts.path_and_query.or(Some(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).map_err(easel_contract::Error::internal)?;
    }
    Ok(request)
}

/// Advances the engine's epoch for as long as the engine exists.
fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("easel-epoch".into()).spawn(run).map(drop)
}

/// The factory of instances.
#[derive(Clone)]
struct Pool {
    engine: Engine,
    instance: ServicePre<State>,
    service: Arc<dyn Service>,
    environment: Vec<(String, String)>,
    limits: Limits,
}

impl HandlerState for Pool {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> Result<Instance<State, Expiration, Worker>> {
        let mut store = State::store(&self.engine, &self.limits, Arc::clone(&self.service), &self.environment);
        let proxy = ProxyPre::P3(self.instance.clone()).instantiate_async(&mut store).await?;
        let expiration = Expiration::new(self.limits);
        let state = Worker(self.limits);
        Ok(Instance { store, proxy, view: WasiHttpView::http, expiration, state })
    }
}

/// Stops an instance that takes too long or is no longer needed.
struct Expiration {
    limits: Limits,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Expiration {
    fn new(limits: Limits) -> Self {
        Self { limits, deadline: Instant::now(), sleep: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, state: WorkerStatus, start: Instant) -> Poll<()> {
        let deadline = start
            + match state {
                WorkerStatus::Idle => self.limits.idle,
                WorkerStatus::Requests => self.limits.answering + LATE,
                WorkerStatus::PostReturn => self.limits.streaming,
            };
        if deadline != self.deadline {
            self.deadline = deadline;
            self.sleep.as_mut().reset(deadline.into());
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// Decides how many requests an instance answers.
struct Worker(Limits);

impl WorkerState for Worker {
    type StoreData = State;
    /// Resolves without a value when the client has disconnected.
    type RequestData = oneshot::Receiver<()>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match (total < self.0.requests, concurrent < self.0.concurrent_requests) {
            (false, _) => ShouldAccept::Never,
            (true, false) => ShouldAccept::No,
            (true, true) => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        store: StoreContextMut<'_, State>,
        answered: oneshot::Receiver<()>,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let answering = sleep(self.0.answering);
        let left = store.data().clients.add(task, answered);
        Box::pin(async move {
            tokio::pin!(answering);
            tokio::select! {
                () = &mut answering => {}
                has_left = left => if !has_left { answering.await },
            }
        })
    }

    fn drop(&self, store: Store<State>, result: Result<()>) {
        if let Err(error) = result {
            let error = format!("{error:#}");
            // Without a panic and a trap, the runtime has dropped it: the server ends.
            if error == DROPPED && !std::thread::panicking() {
                tracing::debug!("an instance of the component ends with the server");
            } else {
                tracing::error!(error, "an instance of the component was stopped");
            }
        }
        drop(store);
    }
}
