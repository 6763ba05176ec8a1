//! `grpc.health.v1.Health` (<https://grpc.io/docs/guides/health-checking/>): every service is as healthy as the whole.

use super::{INFO, VISION};
use async_trait::async_trait;
use easel_contract::Service;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watched service is looked at.
const BEAT: Duration = Duration::from_secs(1);

/// Says whether the services can do their work. The empty name means all of them.
pub(super) struct Monitor(pub(super) Arc<dyn Service>);

#[async_trait]
impl Health for Monitor {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = &request.get_ref().service;
        if !is_known(name) {
            return Err(Status::not_found(format!("there is no service {name:?}")));
        }
        Ok(Response::new(response(status(&*self.0).await)))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// The current status, then every change. An unknown service has a status of its own, because it may appear later.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.get_ref().service) {
            let unknown = stream::iter([Ok(response(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.chain(stream::pending()).boxed()));
        }
        let watched = Watched { service: Arc::clone(&self.0), last: None };
        let changes = stream::unfold(watched, async |mut watched| {
            let change = watched.change().await;
            Some((Ok(response(change)), watched))
        });
        Ok(Response::new(changes.boxed()))
    }
}

/// A service, and the status that its watcher knows.
struct Watched {
    service: Arc<dyn Service>,
    last: Option<ServingStatus>,
}

impl Watched {
    /// Waits for another status.
    async fn change(&mut self) -> ServingStatus {
        loop {
            let now = status(&*self.service).await;
            if self.last.replace(now) != Some(now) {
                return now;
            }
            self.service.sleep(BEAT).await;
        }
    }
}

fn is_known(name: &str) -> bool {
    ["", VISION, INFO].contains(&name)
}

async fn status(service: &dyn Service) -> ServingStatus {
    match service.health().await.is_healthy() {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
